"""The parameters of a profile in a NumPyro model."""

import dataclasses
from typing import Any, TypeVar

import numpyro
import numpyro.distributions as dist

from numpyro_lens import light
from numpyro_lens.linear import Linear

Profile = TypeVar("Profile")


def sample(name: str, profile: type[Profile], **parameters: Any) -> Profile:
    """Place the parameters of a profile in a NumPyro model.

    Args:
        name: prefix of the sites, which are called ``name.parameter``.
        profile: class of the profile, such as ``mass.EPL``.
        **parameters: for each field of the profile a distribution (it is sampled) or a number or
            array (it is fixed); the linear field of a light, ``amp``, can also be `Linear` (it is
            integrated out, see `observe`); a field with a default may be left out.

    Returns:
        The profile with its values.

    Raises:
        ValueError: a parameter is unknown or missing, or one that is not linear is `Linear`.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist, numpyro_lens as nl
        >>> with numpyro.handlers.seed(rng_seed=0):
        ...     lens = sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(0.0, 0.3), center_x=0.1)
        >>> lens.center_x
        0.1
    """
    check_parameters(profile, parameters)
    values = {field: place(f"{name}.{field}", value) for field, value in parameters.items()}
    return profile(**values)


def place(site: str, value: Any) -> Any:
    if isinstance(value, Linear):
        return dataclasses.replace(value, name=site)
    return numpyro.sample(site, value) if isinstance(value, dist.Distribution) else value


def check_parameters(profile: type, parameters: dict[str, Any]) -> None:
    fields = {field.name: field for field in dataclasses.fields(profile)}
    unknown = [name for name in parameters if name not in fields]
    missing = [
        name
        for name, field in fields.items()
        if name not in parameters
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if unknown or missing:
        problems = [f"unknown: {', '.join(unknown)}"] * bool(unknown) + [
            f"missing: {', '.join(missing)}"
        ] * bool(missing)
        raise ValueError(
            f"Give each parameter of {profile.__name__} a distribution or a number "
            f"({'; '.join(problems)}). Its parameters are: {', '.join(fields)}."
        )
    for name, value in parameters.items():
        _check_kind(profile, name, value)


def _check_kind(profile: type, name: str, value: Any) -> None:
    if isinstance(value, type):
        raise ValueError(
            f"Give each parameter of {profile.__name__} a distribution or a number; `{name}` got "
            f"the class {value.__name__} itself. Write {name}={value.__name__}(...)."
        )
    if isinstance(value, light.Footprint) and name != "smoothing":
        raise ValueError(
            "Only the `smoothing` of a light follows the footprint of the rays; got Footprint for "
            f"{name}. Give it a distribution: dist.LogNormal(-1.0, 0.3)."
        )
    linear = getattr(profile, "linear_field", None)
    if isinstance(value, Linear) and name != linear:
        rule = f"Only `{linear}` of {profile.__name__} enters an image linearly"
        raise ValueError(
            f"{rule if linear else f'No parameter of {profile.__name__} enters an image linearly'};"
            f" got Linear for {name}. Give it a distribution: dist.Normal(0.0, 1.0)."
        )
