"""Profiles as GIGA-Lens writes them: objects without values, which come with each call."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, ClassVar, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._precision import full_precision
from numpyro_lens._types import Amplitudes, Array, Coordinates, Field, Vector
from numpyro_lens.light import AbstractLight, basis
from numpyro_lens.mass import AbstractMass

T = TypeVar("T")


class Parameterized:
    """A profile of any kind.

    Attributes:
        name: of the profile.
        params: names of its parameters.
    """

    _name: ClassVar[str] = ""
    _params: ClassVar[list[str]] = []

    def __init__(self, *_args: Any, **_settings: Any) -> None:
        self.name, self.params = self._name or type(self).__name__.upper(), list(self._params)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class MassProfile(Parameterized, ABC):
    """A deflector; a class of your own has ``_params`` and `deriv`."""

    @abstractmethod
    def deriv(self, x: Any, y: Any, **params: Any) -> tuple[Array, Array]:
        """Deflection angles.

        Args:
            x, y: positions [arcsec], a batch along the last axis if parameters have one.
            **params: parameters, numbers or (n,).

        Returns:
            Both components [arcsec], shaped like x and y.
        """

    def build(self, values: dict[str, Any]) -> AbstractMass:
        """The deflector with its values, as the library holds it."""
        return _Deflector(values, self.deriv)


class LightProfile(Parameterized, ABC):
    """A light; a class of your own has ``_params`` and `light`.

    Args:
        use_lstsq: whether its amplitude is solved for.
    """

    depth: int = 1

    def __init__(self, use_lstsq: bool = False, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.use_lstsq = use_lstsq

    @abstractmethod
    def light(self, x: Any, y: Any, **params: Any) -> Array:
        """Surface brightness; each amplitude at one, (depth, ...), where they are solved for.

        Args:
            x, y: positions [arcsec], a batch along the last axis if parameters have one.
            **params: parameters, numbers or (n,).
        """

    def build(self, values: dict[str, Any]) -> AbstractLight:
        """The light with its values, as the library holds it."""
        return _Brightness(values, self.light)

    def unit(self, values: dict[str, Any]) -> AbstractLight:
        """The light with amplitudes of one, to solve for them.

        Raises:
            ValueError: they are not to be solved for.
        """
        if not self.use_lstsq:
            raise ValueError(
                f"The amplitude of {self.name} is to be solved for, and it was made without. Type "
                f"{type(self).__name__}(..., use_lstsq=True), and leave its amplitude out of the "
                "prior."
            )
        return self._unit(values)

    def _unit(self, values: dict[str, Any]) -> AbstractLight:
        return _Basis(jnp.ones(self.depth), values, self.light)


class Mass(MassProfile):
    """One of our deflectors."""

    profile: ClassVar[type[AbstractMass]]

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params = self.params or [field.name for field in fields(self.profile)]

    def build(self, values: dict[str, Any]) -> AbstractMass:
        """The deflector with its values."""
        return built(self.profile, values)

    def deriv(self, x: Any, y: Any, **params: Any) -> tuple[Array, Array]:
        """Deflection angles, as of `MassProfile`."""
        return over_batch(lambda x, y, p: self.build(p).deflection(x, y), x, y, params)


class Light(LightProfile):
    """One of our lights; GIGA-Lens calls its amplitude ``Ie``.

    Args:
        use_lstsq: whether its amplitude is solved for.
    """

    profile: ClassVar[type[AbstractLight]]

    def __init__(self, use_lstsq: bool = False, *args: Any, **settings: Any) -> None:
        super().__init__(use_lstsq, *args, **settings)
        if not self.params:
            own = [f.name for f in fields(self.profile) if f.name not in ("amp", "smoothing")]
            self.params = own if use_lstsq else [*own, "Ie"]

    def build(self, values: dict[str, Any]) -> AbstractLight:
        """The light with its values."""
        return built(self.profile, self.named(values))

    def named(self, values: dict[str, Any]) -> dict[str, Any]:
        """Values by our names of the parameters."""
        return with_amp(values)

    def _unit(self, values: dict[str, Any]) -> AbstractLight:
        return built(self.profile, {**self.named(values), "amp": self._ones})

    @property
    def _ones(self) -> Any:
        return 1.0

    def light(self, x: Any, y: Any, **params: Any) -> Array:
        """Surface brightness, as of `LightProfile`."""

        def one(x: Array, y: Array, p: dict[str, Any]) -> Array:
            if self.use_lstsq:
                return basis(self.unit(p), x, y)
            return self.build(p).brightness(x, y)

        return over_batch(one, x, y, params)


class ManyAmplitudes(Light):
    """One of our lights with ``depth`` amplitudes, which GIGA-Lens calls ``amp00`` and so on.

    Args:
        depth: how many.
        use_lstsq: whether they are solved for.
    """

    def __init__(self, depth: int, use_lstsq: bool = False) -> None:
        super().__init__(use_lstsq)
        self.depth, digits = depth, len(str(depth))
        self._amp_names = [f"amp{str(i).zfill(digits)}" for i in range(depth)]
        self.params = [name for name in self.params if name != "Ie"]
        self.params += [] if use_lstsq else self._amp_names

    @property
    def _ones(self) -> Any:
        return np.ones(self.depth)

    def named(self, values: dict[str, Any]) -> dict[str, Any]:
        """Values by our names, the amplitudes as one array."""
        numbered = {int(m[1]): v for k, v in values.items() if (m := re.fullmatch(r"amp(\d+)", k))}
        rest = {k: v for k, v in values.items() if not re.fullmatch(r"amp\d+", k)}
        if not numbered:
            return rest
        if set(numbered) != set(range(self.depth)):
            raise ValueError(
                f"{self.name} has the {self.depth} amplitudes {self._amp_names[0]} to "
                f"{self._amp_names[-1]}; got {len(numbered)} of them. Name them by its `_amp_names`"
                ", or solve for them: use_lstsq=True."
            )
        amplitudes = [jnp.asarray(numbered[i]) for i in range(self.depth)]
        return {**rest, "amp": jnp.stack(amplitudes)}


class _Deflector(AbstractMass):
    """A deflector of the user's own: a function of positions and values."""

    values: dict[str, Any]
    deriv: Callable = eqx.field(static=True)

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        return self.deriv(x, y, **self.values)


class _Brightness(AbstractLight):
    """A light of the user's own: a function of positions and values."""

    linear_field: ClassVar[str | None] = None

    values: dict[str, Any]
    light: Callable = eqx.field(static=True)

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        return self.light(x, y, **self.values)


class _Basis(AbstractLight):
    """A light of the user's own with amplitudes (depth,): the function gives each at one."""

    amp: Amplitudes
    values: dict[str, Any]
    light: Callable = eqx.field(static=True)

    def basis_parts(self, x: Coordinates, y: Coordinates) -> tuple[Field, ...]:
        """Each amplitude at one, ``(depth, ...)``."""
        return (self.light(x, y, **self.values),)

    @full_precision
    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        return jnp.tensordot(jnp.asarray(self.amp), self.light(x, y, **self.values), axes=1)


class OwnMass(Mass):
    """A class of `numpyro_lens.mass` where GIGA-Lens has an instance.

    Args:
        profile: the class.
    """

    def __init__(self, profile: type[AbstractMass]) -> None:
        self.profile = profile  # type: ignore[misc]
        super().__init__()


class OwnLight(Light):
    """A class of `numpyro_lens.light` where GIGA-Lens has an instance; it may be solved for.

    Args:
        profile: the class.
    """

    def __init__(self, profile: type[AbstractLight]) -> None:
        self.profile = profile  # type: ignore[misc]
        super().__init__()

    def unit(self, values: dict[str, Any]) -> AbstractLight:
        """The light with amplitudes of one."""
        named = self.named(values)
        many = {f.name for f in fields(self.profile)} & vector_fields(self)
        if "amp" in many - named.keys():
            raise ValueError(
                f"The class {self.profile.__name__} does not say how many amplitudes it has. Write "
                "profiles.light.shapelets.Shapelets(n_max, use_lstsq=True), or `amp=np.ones(28)` "
                "in its prior."
            )
        return built(self.profile, {**named, "amp": np.ones(np.shape(named.get("amp", 1.0)))})


def vector_fields(profile: Parameterized) -> set[str]:
    """Parameters of a profile that are arrays (num,) even without a batch."""
    own = getattr(profile, "profile", None)
    return set() if own is None else {f.name for f in fields(own) if f.type in _VECTORS}


_VECTORS = (Amplitudes, Vector)


def built(profile: Callable[..., T], values: dict[str, Any]) -> T:
    """A profile of ours with its values.

    Raises:
        ValueError: a name is unknown or missing.
    """
    known = {field.name: field for field in fields(profile)}  # type: ignore[arg-type]
    unknown = values.keys() - known.keys()
    needed = {n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    if unknown or needed - values.keys():
        raise ValueError(f"{profile.__name__} takes: {', '.join(known)}. Got: {', '.join(values)}.")
    return profile(**values)


def with_amp(values: dict[str, Any]) -> dict[str, Any]:
    """``Ie``, as GIGA-Lens calls it, is our ``amp``."""
    return {("amp" if name == "Ie" else name): value for name, value in values.items()}


def over_batch(function: Callable[..., T], x: Any, y: Any, params: dict[str, Any]) -> T:
    """``function(x, y, params)`` for each member of a batch, along the last axis of everything.

    Args:
        function: of positions without the batch axis and of numbers.
        x, y: positions, the last axis of length n or 1 where parameters are a batch.
        params: numbers, or arrays (n,) or (1,).

    Returns:
        What it returns, with the batch along the last axis.
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    values = {name: jnp.asarray(value) for name, value in params.items()}
    size = max((v.size for v in values.values()), default=1)
    if size == 1:
        return function(x, y, {name: jnp.reshape(v, ()) for name, v in values.items()})
    values = {name: jnp.broadcast_to(jnp.ravel(v), (size,)) for name, v in values.items()}
    x, y = (jnp.broadcast_to(a, (*a.shape[:-1], size)) for a in (x, y))
    return jax.vmap(function, in_axes=(-1, -1, 0), out_axes=-1)(x, y, values)
