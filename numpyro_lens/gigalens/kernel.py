"""How a PSF is refined to the sub-pixels: our way, and GIGA-Lens's."""

import numpy as np

from numpyro_lens.psf import PSF


def averaging(kernel: np.ndarray, factor: int) -> PSF:
    """A kernel on a finer sampling whose averages over pixels are the kernel that was measured.

    Args:
        kernel: PSF sampled at the pixels (ky, kx), odd.
        factor: sub-pixels per pixel side.

    Returns:
        A PSF of this sampling; see `PSF.refined`.

    Example:
        >>> averaging(np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]), 2).kernel.shape
        (5, 5)
    """
    return PSF(kernel).refined(factor)


def lenstronomy_subgrid(kernel: np.ndarray, factor: int) -> PSF:
    """A kernel on a finer sampling as GIGA-Lens has it, by lenstronomy's ``subgrid_kernel``.

    For an even factor it does not average back to the kernel that was measured: take it only to
    compare with results of GIGA-Lens.

    Args:
        kernel: PSF sampled at the pixels (ky, kx).
        factor: sub-pixels per pixel side.

    Returns:
        A PSF of this sampling.

    Raises:
        ImportError: lenstronomy is not installed.

    Example:
        >>> lenstronomy_subgrid(np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]), 2).kernel.shape
        (5, 5)
    """
    if factor == 1:
        return PSF(kernel)
    try:
        from lenstronomy.Util.kernel_util import subgrid_kernel
    except ImportError as error:
        raise ImportError(
            "GIGA-Lens refines its kernel by lenstronomy, which is not installed. Type "
            "`pip install lenstronomy`, or leave `refine` out: our own refinement averages back "
            "to the kernel that was measured."
        ) from error
    fine = subgrid_kernel(np.array(kernel, dtype=float), factor, odd=True)
    return PSF(fine, sampling=factor)
