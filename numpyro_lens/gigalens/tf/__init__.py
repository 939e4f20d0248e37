"""The modules of GIGA-Lens's TensorFlow side, without TensorFlow."""

from numpyro_lens.gigalens.spellings import spell

spell(__name__, own=("model", "simulator"))
