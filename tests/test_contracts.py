"""A class is abstract or final, and a method is implemented once."""

import inspect

import equinox as eqx
import pytest

from numpyro_lens import fitting, infer, light, mass, noise, sampler

BASES = [
    mass.AbstractMass,
    light.AbstractLight,
    noise.AbstractNoise,
    sampler.AbstractMap,
    infer.AbstractPosterior,
]
# Of Python and of equinox: what they define is theirs, and made to be redefined.
GIVEN = {object, *eqx.Module.__mro__}


def family(base):
    """A class of the package and all that derive from it.

    Those of tests are left out, and those of GIGA-Lens's interface, which behave as the arrays and
    tuples that its functions return.
    """
    ours = [
        c
        for c in base.__subclasses__()
        if c.__module__.startswith("numpyro_lens.") and ".gigalens." not in c.__module__
    ]
    return [base, *(c for child in ours for c in family(child))]


classes = pytest.mark.parametrize(
    "cls", dict.fromkeys(c for base in BASES for c in family(base)), ids=lambda c: c.__qualname__
)


def methods(cls):
    """What a class itself defines that can be called, without the underscored names of Python."""
    return {
        name: value
        for name, value in vars(cls).items()
        if not (name.startswith("__") and name not in ("__add__", "__call__"))
        and isinstance(value, property | classmethod | staticmethod) | inspect.isfunction(value)
    }


def test_public_classes_are_covered():
    modules = (mass, light, noise, sampler, infer, fitting)
    public = {c for m in modules for c in vars(m).values() if inspect.isclass(c)}
    covered = {c for base in BASES for c in family(base)}
    assert {c for c in public if issubclass(c, tuple(BASES))} == {
        c for c in covered if not c.__name__.startswith("_")
    }


@classes
def test_a_class_is_abstract_or_final(cls):
    derived = family(cls)[1:]
    assert inspect.isabstract(cls) or not derived, f"{cls} is concrete, and the base of {derived}"
    assert cls.__name__.startswith("Abstract") == inspect.isabstract(cls)


@classes
def test_a_concrete_method_is_never_overridden(cls):
    for name in methods(cls):
        for parent in cls.__mro__[1:]:
            inherited = methods(parent).get(name) if parent not in GIVEN else None
            abstract = getattr(inherited, "__isabstractmethod__", False)
            assert inherited is None or abstract, f"{cls} overrides {parent}.{name}"
