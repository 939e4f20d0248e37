"""The modules of GIGA-Lens's JAX side: those of `numpyro_lens.gigalens`."""

from numpyro_lens.gigalens._spellings import spell

spell(__name__, own=("inference",))
