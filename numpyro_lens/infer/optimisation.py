"""What the two stages of optimisation share: NumPyro's SVI, advanced in blocks."""

import copy
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpyro.infer import SVI

from numpyro_lens._types import AnyArray
from numpyro_lens.density import unplaced
from numpyro_lens.infer.stage import Bar


def prepared(svi: SVI, *args: Any) -> SVI:
    """An SVI whose guide is set up.

    An autoguide keeps its first initialisation, tracers included: this has to happen outside of any
    map over starts. Where the parameters begin is set later, so that the key does not matter.

    Args:
        svi: NumPyro's.
        *args: of its model.
    """
    svi.init(jax.random.key(0), *args)
    return svi


def with_model(svi: SVI, model: Callable) -> SVI:
    """The same SVI on another model: set up on one without a likelihood, it traces none for that.

    Args:
        svi: NumPyro's.
        model: NumPyro model function with the site of the guide.
    """
    svi = copy.copy(svi)
    svi.model = model
    return svi


def updated(svi: SVI, num_steps: int, state: Any, *args: Any) -> tuple[Any, AnyArray]:
    """The state after some steps, and the loss of each (num_steps,).

    A step to a non-finite value or gradient leaves the state where it is.

    Args:
        svi: prepared.
        num_steps: steps.
        state: of the SVI.
        *args: of its model.
    """

    def step(state: Any, _: None) -> tuple[Any, AnyArray]:
        return svi.stable_update(state, *args)

    return jax.lax.scan(step, state, length=num_steps)


def in_blocks(
    advance: Callable[[Any, int], tuple[Any, Any]],
    state: Any,
    *,
    num_steps: int,
    block: int,
    stop: Callable[[list[float]], bool],
    bar: Bar,
) -> tuple[Any, list[float]]:
    """Advance a state in blocks of steps, until the losses say to stop.

    Args:
        advance: the next state and the loss of each step, of a state and a number of steps.
        state: to begin with.
        num_steps: steps at most.
        block: steps at a time.
        stop: whether to stop, given all losses so far.
        bar: says how far it is.

    Returns:
        The state, and all losses.
    """
    losses: list[float] = []
    if bar.n:  # a further search of the same stage
        bar.reset(num_steps)
    while len(losses) < num_steps and not stop(losses):
        steps = min(block, num_steps - len(losses))
        state, new = unplaced(advance(state, steps))
        losses.extend(np.asarray(new, dtype=float).tolist())
        bar.set_postfix_str(f"best loss {min(losses):.2f}")
        bar.update(steps)
    return state, losses
