"""Pictures appear in a notebook, whether or not it draws with pyplot."""

import os

import nbclient
import nbformat
import pytest

import numpyro_lens as nl

SETUP = """
import jax, numpyro_lens as nl
camera = nl.Observation.blank((8, 9), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
"""
LAST_LINES = [
    "nl.plot.plot_observation(camera)[0]",
    "nl.plot.plot_data(camera)[0]",
    "camera",
]


@pytest.fixture(scope="module")
def outputs():
    """Of the last lines of cells, each a dictionary by kind."""
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, *LAST_LINES)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    root = os.path.dirname(os.path.dirname(nl.__file__))
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": root}})
    client.execute(env={**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"})
    return [cell.outputs for cell in notebook.cells[1:]]


@pytest.mark.filterwarnings("ignore")  # of the kernel's own libraries
def test_a_figure_is_a_picture(outputs):
    for of_cell in outputs[:2]:
        kinds = [set(output.get("data", {})) for output in of_cell]
        assert any("image/png" in kind for kind in kinds), of_cell


@pytest.mark.filterwarnings("ignore")
def test_an_observation_is_a_picture_too(outputs):
    (shown,) = outputs[2]
    assert "data:image/png;base64," in shown["data"]["text/html"]
