"""TFP's diagnostics of chains, as GIGA-Lens's scripts call them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from numpyro_lens.infer import diagnostics


class Numbers(np.ndarray):
    """An array with TensorFlow's way to an array of NumPy."""

    def numpy(self) -> np.ndarray:
        """The array itself."""
        return np.asarray(self)


def potential_scale_reduction(
    chains_states: Any, independent_chain_ndims: int = 1, split_chains: bool = False
) -> np.ndarray:
    r"""R-hat of Gelman and Rubin, by the formula of TFP.

    Chains that disagree in more than their means are told apart by the rank-normalised R-hat of
    ``fit.verdict``, which this is not.

    Args:
        chains_states: draws (steps, *chains, ...).
        independent_chain_ndims: number of axes that count chains, after that of the steps.
        split_chains: halve each chain first.

    Returns:
        One number for each entry of the remaining axes.

    Example:
        >>> draws = np.random.default_rng(0).normal(size=(1000, 4, 3))
        >>> potential_scale_reduction(draws).shape
        (3,)

    Reference: Brooks & Gelman 1998, J. Comput. Graph. Stat. 7, 434, equation 1.1.
    """
    z = np.asarray(chains_states, dtype=float)
    z = z.reshape(z.shape[0], -1, *z.shape[1 + independent_chain_ndims :])
    if split_chains:
        half = z.shape[0] // 2
        z = np.concatenate([z[:half], z[half : 2 * half]], axis=1)
    num, chains = z.shape[:2]
    if chains < 2:
        raise ValueError(
            f"R-hat compares chains, and there is {chains}. Run more of them, or type "
            "split_chains=True."
        )
    between = z.mean(axis=0).var(axis=0, ddof=1)
    within = z.var(axis=0, ddof=1).mean(axis=0)
    total = (num - 1) / num * within + between
    ratio = (chains + 1) / chains * total / within - (num - 1) / (num * chains)
    return np.asarray(ratio).view(Numbers)


def effective_sample_size(
    states: Any, cross_chain_dims: int | Sequence[int] | None = None, **_: Any
) -> np.ndarray:
    """Bulk effective sample size, by ArviZ.

    Args:
        states: draws (steps, ...).
        cross_chain_dims: axes that count chains; without any, each is a chain of its own.

    Returns:
        One number for each entry of the remaining axes.

    Example:
        >>> draws = np.random.default_rng(0).normal(size=(1000, 4, 3))
        >>> effective_sample_size(draws, cross_chain_dims=1).shape
        (3,)

    Reference: Vehtari et al. 2021, Bayesian Anal. 16, 667.
    """
    z = np.asarray(states, dtype=float)
    dims = [] if cross_chain_dims is None else np.atleast_1d(cross_chain_dims).tolist()
    if not dims:
        z, dims = z[:, None], [1]
    z = np.moveaxis(z, dims, range(1, 1 + len(dims)))
    rest = z.shape[1 + len(dims) :]
    z = z.reshape(z.shape[0], -1, int(np.prod(rest)))
    return np.asarray(diagnostics.ess(z.swapaxes(0, 1), "bulk")).reshape(rest).view(Numbers)


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"tfp.mcmc has no {name} here: the chains are NumPyro's. Type model_seq.HMC(qz, ...), or "
        "numpyro.infer.MCMC with the target of a ModellingSequence: "
        "numpyro_lens.density.flat_model(model_seq.target)."
    )
