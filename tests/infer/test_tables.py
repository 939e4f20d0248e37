import numpy as np
import pytest
from synthetic import fitted

from numpyro_lens.infer.tables import latex_table


def draws(low, median, high, shape=()):
    values = np.interp(
        np.linspace(0, 1, 1001), [0, 0.16, 0.5, 0.84, 1], [low, low, median, high, high]
    )
    return np.broadcast_to(values.reshape(1, -1, *(1 for _ in shape)), (1, 1001, *shape))


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((1.0, 1.25, 1.3), r"$1.250^{+0.050}_{-0.250}$"),
        ((100.0, 300.0, 700.0), r"$300^{+400}_{-200}$"),
        ((-2e-9, 0.0, 1e-9), r"$0.0000000000^{+0.0000000010}_{-0.0000000020}$"),
        ((2.0, 2.0, 2.0), r"$2$"),
    ],
)
def test_numbers_have_the_digits_of_their_errors(ends, text):
    assert text in latex_table({"a": draws(*ends)})


def test_names_are_escaped_and_arrays_have_a_row_each():
    table = latex_table({r"a_b%\{x}^": draws(0, 1, 2, (2,))})
    assert r"\texttt{a\_b\%\textbackslash{}\{x\}\textasciicircum{}[0]} & $1.0" in table
    assert "[1]} &" in table


def test_a_result_has_a_table():
    result = fitted()
    assert r"\texttt{lens.theta\_E} & $" in result.table("latex")
    with pytest.raises(ValueError, match=r"to_markdown"):
        result.table("html")
