"""Amplitudes enter an image linearly: solve for them, or integrate them out exactly."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from numpyro_lens._completion import own_names
from numpyro_lens._precision import full_precision
from numpyro_lens._types import Array, Field, Image, Mask, Vector
from numpyro_lens.light import amplitude, basis_parts, components
from numpyro_lens.numerics.cholesky import inverse_cholesky
from numpyro_lens.observation import Observation
from numpyro_lens.scene import Rays, Scene
from numpyro_lens.simulate import seen

Images: TypeAlias = Array | list[Array] | tuple[Array, ...]
"""Images ``(num, ny, nx)``, or a list of them."""


class Linear(eqx.Module):
    r"""An amplitude to be integrated out, with its prior :math:`N(\mathrm{loc}, \mathrm{scale}^2)`.

    It takes the place of the linear field of a light profile, ``amp`` for all of ours, and may be
    combined with light whose amplitudes are numbers.

    Args:
        loc: mean of the prior [units of ``amp``], scalar or (num,).
        scale: standard deviation of the prior, scalar or (num,), positive.
        name: the name under which draws of it appear; `numpyro_lens.sample` sets it.

    Example:
        >>> from numpyro_lens.light import Sersic
        >>> disc = Sersic(amp=Linear(scale=10.0, name="disc.amp"), R_sersic=0.5, n_sersic=1.0)
        >>> disc.amp.shape
        ()
    """

    loc: Array
    scale: Array
    name: str | None = eqx.field(static=True)

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, *, name: str | None = None):
        self.loc, self.scale = jnp.broadcast_arrays(*(jnp.asarray(v, float) for v in (loc, scale)))
        self.name = name

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the amplitude."""
        return self.loc.shape

    def _is_no_number(self, *_: Any) -> NoReturn:
        raise TypeError(
            f"`{self.name or 'amp'}` is a Linear amplitude, which has no value: it is integrated "
            "out. Write nl.observe(name, observation, mass=..., source=...), which does so, in "
            "place of nl.render, or give the amplitude a distribution or a number."
        )

    __jax_array__ = __mul__ = __rmul__ = __truediv__ = __getitem__ = _is_no_number


def _is_linear(node: Any) -> bool:
    return isinstance(node, Linear)


def with_amplitudes(tree: Any, amplitudes: dict[str, Any]) -> Any:
    """A pytree of profiles with values in the place of its linear amplitudes.

    Args:
        tree: a profile, a scene, or any other pytree.
        amplitudes: values by the name of the amplitude.

    Returns:
        The same pytree without `Linear`.

    Example:
        >>> from numpyro_lens.light import Uniform
        >>> with_amplitudes(Uniform(amp=Linear(name="sky.amp")), {"sky.amp": 2.0})
        Uniform(amp=2.0)
    """
    return jax.tree.map(
        lambda node: amplitudes[node.name] if _is_linear(node) else node, tree, is_leaf=_is_linear
    )


class LinearImage(eqx.Module):
    r"""An image as a function of its linear amplitudes, :math:`I = F + \sum_k a_k U_k`.

    Args:
        fixed: image of everything else F, (ny, nx).
        basis: image of each amplitude at one U, (num, ny, nx).
        priors: the amplitudes, in the order of the basis.
    """

    fixed: Image
    basis: Array
    priors: tuple[Linear, ...]

    @property
    def loc(self) -> Vector:
        """Prior means (num,)."""
        return _flat(prior.loc for prior in self.priors)

    @property
    def scale(self) -> Vector:
        """Prior standard deviations (num,)."""
        return _flat(prior.scale for prior in self.priors)

    @full_precision
    def __call__(self, amplitudes: Vector) -> Image:
        """The image (ny, nx) of amplitudes (num,)."""
        return self.fixed + jnp.tensordot(amplitudes, self.basis, axes=1)

    def named(self, amplitudes: Vector) -> dict[str, Array]:
        """Amplitudes (num,) by their names, in their own shapes."""
        start, out = 0, {}
        for prior in self.priors:
            stop = start + math.prod(prior.shape)
            out[str(prior.name)], start = amplitudes[start:stop].reshape(prior.shape), stop
        return out


def _flat(arrays: Iterable[Array]) -> Vector:
    return jnp.concatenate([jnp.ravel(array) for array in arrays])


def linear_image(observation: Observation, scene: Scene) -> LinearImage:
    """The image of a scene, some of whose light has `Linear` amplitudes.

    Rays are traced once, whatever the number of amplitudes.

    Args:
        observation: the instrument; its image is not used.
        scene: planes of mass and light.

    Returns:
        A `LinearImage`.

    Raises:
        ValueError: no amplitude is linear, or one has no name, another's name, or another shape
            than its profile.

    Example:
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation.blank((8, 9), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> sky = nl.light.Uniform(amp=nl.Linear(scale=10.0, name="sky.amp"))
        >>> linear_image(instrument, nl.Scene.of(lens_light=sky)).basis.shape
        (1, 8, 9)
    """
    placed = _placed(observation, scene)
    linear = [(p, where) for p, where in placed if _is_linear(amplitude(p))]
    rest = [(p, where) for p, where in placed if not _is_linear(amplitude(p))]
    priors = tuple(amplitude(p) for p, _ in linear)
    _check_names([prior.name for prior in priors])
    parts = [part for p, where in linear for part in _checked_parts(p, *where)]
    if not rest:
        images = _images(observation, parts)
        return LinearImage(jnp.zeros_like(images[0]), images, priors)
    fixed = sum(p.brightness(*where) for p, where in rest)
    images = _images(observation, [*parts, fixed[None]])
    return LinearImage(images[-1], images[:-1], priors)


def has_linear(scene: Scene) -> bool:
    """Whether an amplitude in it is `Linear`.

    Args:
        scene: planes of mass and light.

    Returns:
        True or False.

    Example:
        >>> import numpyro_lens as nl
        >>> has_linear(nl.Scene.of(lens_light=nl.light.Uniform(amp=nl.Linear())))
        True
    """
    return any(map(_is_linear, jax.tree.leaves(scene, is_leaf=_is_linear)))


def _placed(observation: Observation, scene: Scene) -> list[tuple[Any, Rays]]:
    """Each light profile with the positions that it sees, nearest first."""
    pairs = seen(observation, scene)
    return [(component, where) for light, where in pairs for component in components(light)]


def _checked_parts(profile: Any, x: Field, y: Field) -> tuple[Field, ...]:
    parts = basis_parts(profile, x, y)
    num, shape = sum(map(len, parts)), amplitude(profile).shape
    if num != math.prod(shape):
        raise ValueError(
            f"The amplitudes of {type(profile).__name__} are {num} numbers; got a Linear of "
            f"shape {shape}. Write Linear(scale=jnp.full({num}, 10.0))."
        )
    return parts


def _check_names(names: Sequence[str | None]) -> None:
    if not names:
        raise ValueError(
            "No amplitude of this light is Linear, so there is nothing to integrate out. Write "
            "amp=nl.Linear(scale=...) in a profile, or render the image by nl.render."
        )
    if None in names or len(set(names)) < len(names):
        raise ValueError(
            f"Each Linear amplitude has its own name; got {names}. Place the profile by nl.sample, "
            "which names it, or write nl.Linear(scale=..., name='disc.amp')."
        )


def unit_images(observation: Observation, scene: Scene) -> Array:
    """The image of each amplitude at one, nearest plane first.

    Args:
        observation: the instrument.
        scene: planes of mass and light, whose amplitudes are not used.

    Returns:
        ``(num, ny, nx)`` images, in the units of `render`.

    Example:
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation.blank((8, 9), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> lights = [nl.light.Uniform(amp=1.0), nl.light.Gaussian(amp=1.0, sigma=0.2)]
        >>> unit_images(instrument, nl.Scene.of(lens_light=lights)).shape
        (2, 8, 9)
    """
    placed = _placed(observation, scene)
    return _images(observation, [part for p, at in placed for part in basis_parts(p, *at)])


def _images(observation: Observation, parts: Sequence[Field]) -> Array:
    """Images ``(num, ny, nx)`` of brightnesses in parts ``(k, sub-pixels)``, convolved together.

    Each part is averaged alone: together, all sub-pixels of all images would go through memory.
    """
    shape = observation.sub_x.shape
    means = [jnp.mean(part.reshape(-1, *shape), axis=2) for part in parts]
    planes = jnp.concatenate(means) * observation.pixel_area
    return planes[:, 0] if observation.blur is None else observation.blur.many(planes)


# --- solved for ----------------------------------------------------------------------------------


@full_precision
def solve_amplitudes(
    images: Images,
    data: Image,
    sigma: Image,
    mask: Mask | None = None,
    *,
    ridge: float | None = None,
) -> Vector:
    r"""Amplitudes of the best weighted fit, by Cholesky factorisation.

    .. math:: (N + \lambda D)\, a = b, \quad N_{kl} = \sum_p \frac{U_{kp} U_{lp}}{\sigma_p^2},
              \quad b_k = \sum_p \frac{U_{kp} d_p}{\sigma_p^2}, \quad D = \mathrm{diag}\,N

    The ridge is relative to each image's own weight, so it changes an isolated amplitude by one
    part in 1/ridge whatever the units. Images that cannot be told apart share the flux; no
    singular value is thrown away, so the solution has a derivative everywhere.

    Args:
        images: ``(num, ny, nx)`` array, or a list of images, each of amplitude one.
        data: ``(ny, nx)`` image to fit.
        sigma: ``(ny, nx)`` standard deviation of each pixel.
        mask: ``(ny, nx)``, True uses the pixel; all of them by default.
        ridge: the ridge; by default 1e-5 in single and 1e-12 in double precision.

    Returns:
        ``(num,)`` amplitudes, to be used as ``amp``.

    Example:
        >>> import jax.numpy as jnp
        >>> images = jnp.array([[[1.0, 0.0]], [[0.0, 2.0]]])
        >>> amplitudes = solve_amplitudes(images, jnp.array([[3.0, 4.0]]), jnp.ones((1, 2)))
        >>> [round(float(a), 3) for a in amplitudes]
        [3.0, 2.0]

    Reference: Warren & Dye 2003, ApJ 590, 673, equation 6.
    """
    normal, target, scale = _normal_equations(images, data, sigma, mask, ridge)
    inverse = inverse_cholesky(normal)
    return inverse.T @ (inverse @ target) / scale


@full_precision
def solve_non_negative(
    images: Images,
    data: Image,
    sigma: Image,
    mask: Mask | None = None,
    *,
    ridge: float | None = None,
    iters: int = 1000,
) -> Vector:
    r"""Amplitudes of the best weighted fit among those without a negative one.

    Accelerated projected gradients (``optax.nnls``) on the normal equations of `solve_amplitudes`
    find which amplitudes vanish; the others follow by Cholesky factorisation, so they and their
    derivatives are exact once those are right. The result is never negative, and its weighted
    squared residual exceeds the smallest by at most :math:`2 L |a|^2/(\mathrm{iters} + 1)^2`, where
    L, a bound of the largest eigenvalue, and the amplitudes a are in units in which each image has
    the weight one.

    Args:
        images: as in `solve_amplitudes`.
        data: as in `solve_amplitudes`.
        sigma: as in `solve_amplitudes`.
        mask: as in `solve_amplitudes`.
        ridge: as in `solve_amplitudes`.
        iters: number of iterations, static.

    Returns:
        ``(num,)`` amplitudes, none negative.

    Example:
        >>> import jax.numpy as jnp
        >>> images = jnp.array([[[1.0, 0.0]], [[0.0, 2.0]]])
        >>> found = solve_non_negative(images, jnp.array([[3.0, -4.0]]), jnp.ones((1, 2)))
        >>> [round(float(a), 3) for a in found]
        [3.0, 0.0]

    Reference: Polyak 2015, Contemp. Math. 636, 167.
    """
    normal, target, scale = _normal_equations(images, data, sigma, mask, ridge)
    inverse = inverse_cholesky(normal)
    found = jax.lax.stop_gradient(optax.nnls(inverse @ normal, inverse @ target, iters))
    free = found > 0.0
    restricted = jnp.where(free[:, None] & free[None], normal, jnp.eye(free.size))
    inverse = inverse_cholesky(restricted)
    exact = inverse.T @ (inverse @ jnp.where(free, target, 0.0))
    return jnp.where(jnp.all(exact >= 0.0), exact, found) / scale


def _normal_equations(
    images: Images, data: Image, sigma: Image, mask: Mask | None, ridge: float | None
) -> tuple[Array, Vector, Vector]:
    """Normal matrix and right-hand side in units in which each image has the weight one."""
    images = jnp.stack(list(images)) if isinstance(images, list | tuple) else images
    mask = jnp.ones(data.shape, bool) if mask is None else mask
    weighted, target = _weighted(images, sigma, mask), _weighted(data[None], sigma, mask)[0]
    # An image without light keeps a finite scale, and gets the amplitude zero.
    scale = jnp.sqrt(jnp.sum(weighted**2, axis=1) + jnp.finfo(weighted.dtype).tiny)
    unit = weighted / scale[:, None]
    ridge = _default_ridge(unit.dtype) if ridge is None else ridge
    normal = unit @ unit.T + ridge * jnp.eye(scale.size, dtype=unit.dtype)
    return normal, unit @ target, scale


def _weighted(images: Array, sigma: Image, mask: Mask) -> Array:
    """Images ``(num, ny, nx)`` over sigma as ``(num, pixels)``, zero out of use."""
    weight = jnp.where(mask, 1.0 / jnp.where(mask, sigma, 1.0), 0.0)
    return (jnp.where(mask[None], images, 0.0) * weight[None]).reshape(images.shape[0], -1)


def _default_ridge(dtype: DTypeLike) -> float:
    return 1e-5 if jnp.finfo(dtype).bits <= 32 else 1e-12


# --- integrated out ------------------------------------------------------------------------------


def log_marginal(image: LinearImage, data: Image, sigma: Image, mask: Mask) -> Array:
    r"""Log density of the data with the amplitudes integrated out, in closed form.

    .. math:: \ln p(d) = \ln \int N(d;\, F + U^T a, \sigma^2)\, N(a; \mu, s^2)\, da
              = -\tfrac12 \left[|\rho|^2 + |\hat z|^2 + \ln\det K
              + \textstyle\sum_p \ln 2\pi\sigma_p^2\right]

    with :math:`V = s\, U/\sigma`, :math:`r = (d - F - U^T \mu)/\sigma`, :math:`K = 1 + V V^T`,
    :math:`\hat z = K^{-1} V r` and :math:`\rho = r - V^T \hat z`: the matrix inversion and
    determinant lemmas, with two Cholesky factorisations of (num, num) matrices. The two squares are
    a sum, not the usual difference, so nothing cancels in single precision. The first matrix is K
    scaled to a unit diagonal, with the ridge of `solve_amplitudes`; the second corrects for the
    ridge, also where amplitudes are nearly degenerate. One step of iterative refinement follows.

    Args:
        image: the image as a function of its amplitudes.
        data: (ny, nx) image.
        sigma: (ny, nx) standard deviation of each pixel, which does not depend on the amplitudes.
        mask: (ny, nx), True uses the pixel.

    Returns:
        Log density, scalar.

    Reference: Hogg, Price-Whelan & Leistedt 2020, arXiv:2005.14199, section 4; Fukaya et al. 2020,
    SIAM J. Sci. Comput. 42, A477 (shifted Cholesky QR).
    """
    noise = jnp.where(mask, jnp.log(jnp.where(mask, sigma, 1.0)) + 0.5 * math.log(2 * math.pi), 0.0)
    return _log_standard_marginal(*_standardised(image, data, sigma, mask)) - jnp.sum(noise)


def conditional_amplitudes(
    image: LinearImage, data: Image, sigma: Image, mask: Mask
) -> tuple[Vector, Array]:
    """The Gaussian posterior of the amplitudes, given the data and all other parameters.

    Args:
        image: as in `log_marginal`.
        data: as in `log_marginal`.
        sigma: as in `log_marginal`.
        mask: as in `log_marginal`.

    Returns:
        Its mean (num,) and a factor F (num, num) of its covariance ``F @ F.T``.
    """
    solution = _solve(*_standardised(image, data, sigma, mask))
    scale = image.scale
    return image.loc + scale * solution.mean, scale[:, None] * solution.root.T


def _standardised(image: LinearImage, data: Image, sigma: Image, mask: Mask) -> tuple[Array, Field]:
    basis = _weighted(image.basis, sigma, mask) * image.scale[:, None]
    return basis, _weighted((data - image(image.loc))[None], sigma, mask)[0]


class _Solution(eqx.Module):
    """Of K = 1 + V Vᵀ: ``root`` M with MᵀM = K⁻¹, and Q = M V, whose rows are near orthonormal."""

    root: Array
    rotated: Array
    log_det: Array
    mean: Vector
    residual: Field


@full_precision
def _solve(basis: Array, target: Field) -> _Solution:
    """By two Cholesky factorisations, each of a matrix scaled to a unit diagonal, with a ridge.

    The first is not exact where amplitudes are nearly degenerate. In its coordinates the matrix is
    near one, so that the second leaves nothing of the ridge (shifted Cholesky QR).
    """
    one = jnp.eye(len(basis), dtype=basis.dtype)
    root, rotated, log_det = one, basis, jnp.zeros((), basis.dtype)
    ridge = _default_ridge(basis.dtype)
    for small in (ridge, 0.1 * ridge):
        gram = root @ root.T + rotated @ rotated.T
        unit = jax.lax.rsqrt(jnp.diag(gram))
        scaled = gram * unit[:, None] * unit[None] + small * one
        inverse = inverse_cholesky(scaled) * unit[None]
        root, rotated = inverse @ root, inverse @ rotated
        log_det -= 2.0 * jnp.sum(jnp.log(jnp.diag(inverse)))
    mean = root.T @ (rotated @ target)
    mean = mean + root.T @ (rotated @ (target - mean @ basis) - root @ mean)
    return _Solution(root, rotated, log_det, mean, target - mean @ basis)


@jax.custom_jvp
def _log_standard_marginal(basis: Array, target: Field) -> Array:
    """Log density of standardised data but for the constant, with its derivative in closed form.

    At the best amplitudes the squares do not change with them, so the derivative needs no
    derivative of a factorisation.
    """
    return _value(_solve(basis, target))


@_log_standard_marginal.defjvp
@full_precision
def _log_standard_marginal_jvp(
    primals: tuple[Array, Field], tangents: tuple[Array, Field]
) -> tuple[Array, Array]:
    basis, target = primals
    solution = _solve(basis, target)
    slope = jnp.outer(solution.mean, solution.residual) - solution.root.T @ solution.rotated
    tangent = jnp.sum(slope * tangents[0]) - jnp.sum(solution.residual * tangents[1])
    return _value(solution), tangent


def _value(s: _Solution) -> Array:
    return -0.5 * (jnp.sum(s.residual**2) + jnp.sum(s.mean**2) + s.log_det)


def __dir__() -> list[str]:
    return own_names(globals())
