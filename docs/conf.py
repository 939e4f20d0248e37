"""Sphinx: ``sphinx-build -W docs docs/_build/html``.

With ``-D nb_execution_mode=off`` the notebooks are shown without outputs, in a minute.
"""

import os
import sys
from pathlib import Path

# before JAX starts, here and in the kernels of the notebooks
os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import jupytext
import public
from sphinx.util import logging

import numpyro_lens

HERE = Path(__file__).parent

project = "numpyro_lens"
author = "The numpyro_lens developers"
release = numpyro_lens.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "jupyter_execute", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = f"numpyro_lens {release}"
html_theme_options = {}
if repository := os.environ.get("GITHUB_REPOSITORY"):  # what GitHub's own builds are of
    html_theme_options = {
        "source_repository": f"https://github.com/{repository}/",
        "source_branch": "main",
        "source_directory": "docs/",
    }

# Prompts and outputs are not part of what is copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# The lists of other projects' names come from the network: only where the public pages are built.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", None),
    "numpy": ("https://numpy.org/doc/stable", None),
    "jax": ("https://docs.jax.dev/en/latest", None),
    "numpyro": ("https://num.pyro.ai/en/stable", None),
    "equinox": ("https://docs.kidger.site/equinox", None),
    "matplotlib": ("https://matplotlib.org/stable", None),
    "astropy": ("https://docs.astropy.org/en/stable", None),
}
if "READTHEDOCS" not in os.environ:
    intersphinx_mapping = {}

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Outputs are made here and never committed.
nb_execution_mode = "cache"
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # shapes and units stand in the docstrings
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autosummary_generate = False


def _notebooks() -> None:
    """Make notebooks of ``examples/[0-9]*.py``, where Sphinx can see them."""
    folder = HERE / "notebooks"
    for source in sorted((HERE.parent / "examples").glob("[0-9]*.py")):
        target = folder / f"{source.stem}.ipynb"
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            jupytext.write(jupytext.read(source), target)


def setup(app) -> None:
    """Write what Sphinx is to read; an undocumented public name is a warning, so it fails."""
    app.connect("builder-inited", _check_names)
    _notebooks()
    public.write_reference(HERE / "reference")


def _check_names(_app) -> None:
    for name in public.undocumented():
        logging.getLogger(__name__).warning("undocumented public name: %s", name)
