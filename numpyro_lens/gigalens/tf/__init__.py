"""The modules of GIGA-Lens's TensorFlow side: those of `numpyro_lens.gigalens`, without it."""

from numpyro_lens.gigalens.spellings import spell

spell(__name__, own=("model", "simulator"))
