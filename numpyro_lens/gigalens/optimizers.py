"""Optimisers that scripts bring: optax's, and the one of Keras that GIGA-Lens's TF side uses."""

from typing import Any

import optax


def is_optimizer(value: Any) -> bool:
    """Whether a value is an optax transformation."""
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


def as_optax(optimizer: Any) -> Any:
    """An Adam of Keras as one of optax, read from its ``get_config``; anything else as it is.

    Args:
        optimizer: of Keras or of optax.

    Raises:
        TypeError: it is another one of Keras, or another schedule than ``PolynomialDecay``.
    """
    if is_optimizer(optimizer) or not hasattr(optimizer, "get_config"):
        return optimizer
    config, kind = optimizer.get_config(), type(optimizer).__name__
    if kind.lower() != "adam":
        raise TypeError(
            f"Of Keras's optimisers only Adam is known here; got {kind}. Write one "
            "of optax: optax.adabelief(1e-2)."
        )
    rate = _rate(config["learning_rate"])
    return optax.adam(rate, config["beta_1"], config["beta_2"], config["epsilon"])


def _rate(rate: Any) -> Any:
    if not isinstance(rate, dict):
        return float(rate)
    if rate["class_name"] != "PolynomialDecay":
        raise TypeError(
            f"Of Keras's schedules only PolynomialDecay is known here; got {rate['class_name']}. "
            "Write one of optax: optax.adam(optax.cosine_decay_schedule(1e-2, 350))."
        )
    schedule = rate["config"]
    return optax.polynomial_schedule(
        schedule["initial_learning_rate"],
        schedule["end_learning_rate"],
        schedule["power"],
        schedule["decay_steps"],
    )
