"""What to cite: the BibTeX of the methods and profiles that a model used."""

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from numpyro_lens import mass
from numpyro_lens.density import Sites
from numpyro_lens.infer import AbstractPosterior, SVIResult
from numpyro_lens.light import components
from numpyro_lens.models import observations, scenes
from numpyro_lens.noise import NoiseMap
from numpyro_lens.observation import Observation
from numpyro_lens.scene import Plane, Scene

_METHODS = ("numpyro_lens", "jax", "numpyro")
_STAGES = ("gu2022", "roeder2017", "hoffman2021", "vehtari2021", "arviz")
#: Profiles by the name of their class; the others show the reference of their docstring.
_PROFILES = {
    "SIS": ("kormann1994",),
    "SIE": ("kormann1994", "tessore2015"),
    "EPL": ("tessore2015",),
    "NIE": ("kormann1994",),
    "NFW": ("navarro1997",),
    "TNFW": ("baltz2009",),
    "Hernquist": ("hernquist1990",),
    "Shapelets": ("refregier2003",),
    "HSGP": ("solin2020",),
    "CoreSersic": ("graham2003",),
    "Moffat": ("moffat1969",),
}


def citation(model: Any, *args: Any) -> None:
    """Print BibTeX for the profiles and methods that a model used.

    Profiles without an entry are listed as comments, with the reference of their docstring.

    Args:
        model: a NumPyro model function, or the result of a fit, which adds the methods of the fit.
        *args: arguments of the model function; by default one small empty observation.

    Example:
        >>> import numpyro_lens as nl
        >>> nl.citation(nl.models.epl_shear_sersic)    # doctest: +ELLIPSIS
        @software{numpyro_lens,
        ...
        @article{tessore2015,
        ...
    """
    print("\n\n".join(_entries(model, args)))


def _entries(model: Any, args: tuple) -> Iterator[str]:
    keys = list(_METHODS)
    if isinstance(model, AbstractPosterior):
        keys += [k for k in _STAGES if k != "roeder2017" or isinstance(model.svi, SVIResult)]
        trace = model.target.trace(jnp.asarray(model.best_z))
    else:
        trace = _trace(model, args or (_empty(),))
    placed = scenes(trace)
    kinds = _kinds(placed.values())
    keys += [key for kind in kinds for key in _PROFILES.get(kind.__name__, ())]
    yield from (_BIBTEX[key] for key in dict.fromkeys(keys))
    yield from (_comment(kind) for kind in kinds if kind.__name__ not in _PROFILES)
    for name in observations(trace).keys() - placed.keys():
        yield f"% {name}: an image of the model's own making, whose profiles are not known here"


def _trace(model: Callable, args: tuple) -> Sites:
    with handlers.block():
        return handlers.trace(handlers.seed(model, jax.random.key(0))).get_trace(*args)


def _empty() -> Observation:
    return Observation(np.ones((9, 9)), pixel_scale=0.1, noise=NoiseMap(1.0))


def _kinds(placed: Iterable[Scene]) -> list[type]:
    """Classes of the profiles in scenes, each once, nearest first."""
    planes = [plane for scene in placed for plane in scene.planes]
    profiles = (profile for plane in planes for profile in _profiles(plane))
    return list(dict.fromkeys(type(profile) for profile in profiles))


def _profiles(plane: Plane) -> Iterator[Any]:
    yield from () if plane.mass is None else mass.components(plane.mass)
    yield from () if plane.light is None else components(plane.light)


def _comment(kind: type) -> str:
    _, found, reference = (inspect.getdoc(kind) or "").partition("Reference: ")
    text = " ".join(reference.split()) if found else "no reference in its docstring"
    return textwrap.fill(f"{kind.__name__}: {text}", initial_indent="% ", subsequent_indent="% ")


def _entry(kind: str, key: str, **fields: str) -> str:
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@{kind}{{{key},\n{lines}}}"


_BIBTEX = {
    "numpyro_lens": _entry(
        "software",
        "numpyro_lens",
        author="{The numpyro_lens developers}",
        title="numpyro_lens: strong gravitational lenses as NumPyro models",
    ),
    "jax": _entry(
        "software",
        "jax",
        author="Bradbury, James and others",
        title="{JAX}: composable transformations of {Python}+{NumPy} programs",
        year="2018",
        url="http://github.com/jax-ml/jax",
    ),
    "numpyro": _entry(
        "article",
        "phan2019",
        author="Phan, Du and Pradhan, Neeraj and Jankowiak, Martin",
        title="Composable effects for flexible and accelerated probabilistic programming in "
        "{NumPyro}",
        journal="arXiv preprint arXiv:1912.11554",
        year="2019",
    ),
    "gu2022": _entry(
        "article",
        "gu2022",
        author="Gu, A. and others",
        title="{GIGA-Lens}: fast {Bayesian} inference for strong gravitational lens modeling",
        journal="The Astrophysical Journal",
        volume="935",
        pages="49",
        year="2022",
    ),
    "roeder2017": _entry(
        "inproceedings",
        "roeder2017",
        author="Roeder, Geoffrey and Wu, Yuhuai and Duvenaud, David",
        title="Sticking the landing: simple, lower-variance gradient estimators for variational "
        "inference",
        booktitle="Advances in Neural Information Processing Systems",
        year="2017",
    ),
    "hoffman2021": _entry(
        "inproceedings",
        "hoffman2021",
        author="Hoffman, Matthew and Radul, Alexey and Sountsov, Pavel",
        title="An adaptive-{MCMC} scheme for setting trajectory lengths in {Hamiltonian} {Monte} "
        "{Carlo}",
        booktitle="Proceedings of AISTATS",
        volume="130",
        year="2021",
    ),
    "vehtari2021": _entry(
        "article",
        "vehtari2021",
        author="Vehtari, Aki and Gelman, Andrew and Simpson, Daniel and Carpenter, Bob and "
        'B{\\"u}rkner, Paul-Christian',
        title="Rank-normalization, folding, and localization: an improved {R-hat} for assessing "
        "convergence of {MCMC}",
        journal="Bayesian Analysis",
        volume="16",
        year="2021",
    ),
    "arviz": _entry(
        "article",
        "kumar2019",
        author="Kumar, Ravin and Carroll, Colin and Hartikainen, Ari and Martin, Osvaldo",
        title="{ArviZ}: a unified library for exploratory analysis of {Bayesian} models in "
        "{Python}",
        journal="Journal of Open Source Software",
        volume="4",
        pages="1143",
        year="2019",
    ),
    "tessore2015": _entry(
        "article",
        "tessore2015",
        author="Tessore, Nicolas and Metcalf, R. Benton",
        title="The elliptical power law profile lens",
        journal="Astronomy \\& Astrophysics",
        volume="580",
        pages="A79",
        year="2015",
    ),
    "kormann1994": _entry(
        "article",
        "kormann1994",
        author="Kormann, R. and Schneider, P. and Bartelmann, M.",
        title="Isothermal elliptical gravitational lens models",
        journal="Astronomy \\& Astrophysics",
        volume="284",
        pages="285",
        year="1994",
    ),
    "navarro1997": _entry(
        "article",
        "navarro1997",
        author="Navarro, Julio F. and Frenk, Carlos S. and White, Simon D. M.",
        title="A universal density profile from hierarchical clustering",
        journal="The Astrophysical Journal",
        volume="490",
        pages="493",
        year="1997",
    ),
    "baltz2009": _entry(
        "article",
        "baltz2009",
        author="Baltz, Edward A. and Marshall, Phil and Oguri, Masamune",
        title="Analytic models of plausible gravitational lens potentials",
        journal="Journal of Cosmology and Astroparticle Physics",
        volume="2009",
        number="01",
        pages="015",
        year="2009",
    ),
    "hernquist1990": _entry(
        "article",
        "hernquist1990",
        author="Hernquist, Lars",
        title="An analytical model for spherical galaxies and bulges",
        journal="The Astrophysical Journal",
        volume="356",
        pages="359",
        year="1990",
    ),
    "refregier2003": _entry(
        "article",
        "refregier2003",
        author="Refregier, Alexandre",
        title="Shapelets -- {I}. A method for image analysis",
        journal="Monthly Notices of the Royal Astronomical Society",
        volume="338",
        pages="35",
        year="2003",
    ),
    "solin2020": _entry(
        "article",
        "solin2020",
        author='Solin, Arno and S{\\"a}rkk{\\"a}, Simo',
        title="Hilbert space methods for reduced-rank {Gaussian} process regression",
        journal="Statistics and Computing",
        volume="30",
        pages="419",
        year="2020",
    ),
    "graham2003": _entry(
        "article",
        "graham2003",
        author="Graham, Alister W. and Erwin, Peter and Trujillo, I. and Asensio Ramos, A.",
        title="A new empirical model for the structural analysis of early-type galaxies, and a "
        "critical review of the {Nuker} model",
        journal="The Astronomical Journal",
        volume="125",
        pages="2951",
        year="2003",
    ),
    "moffat1969": _entry(
        "article",
        "moffat1969",
        author="Moffat, A. F. J.",
        title="A theoretical investigation of focal stellar images in the photographic emulsion "
        "and application to photographic photometry",
        journal="Astronomy \\& Astrophysics",
        volume="3",
        pages="455",
        year="1969",
    ),
}
