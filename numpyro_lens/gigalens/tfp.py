"""The corner of TFP that GIGA-Lens's scripts use, in the place of the import of ``tfp``."""

from typing import Any

from numpyro_lens.gigalens import bijectors as bijectors
from numpyro_lens.gigalens import mcmc as mcmc
from numpyro_lens.gigalens import tfd as distributions

__all__ = ["bijectors", "distributions", "mcmc"]


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"tfp has no {name} here, only {', '.join(__all__)}. Samplers are those of "
        "numpyro_lens.infer and numpyro.infer: model_seq.HMC(qz, kernel=numpyro.infer.NUTS)."
    )
