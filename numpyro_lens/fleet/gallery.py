"""One HTML page of all lenses: pictures and verdicts, sorted by any column."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from numpyro_lens.fleet.rows import Row
from numpyro_lens.infer.files import write_atomically

#: Columns of the page: those of `rows.COLUMNS`, and what most lenses have besides.
_COLUMNS = ("name", "verdict", "mean_square", "max_r_hat", "min_ess", "num_divergent", "seconds")
_COMMON = (".theta_E", ".einstein_radius")


def write_gallery(rows: Sequence[Row], path: Path) -> None:
    """Write the page; the pictures stay in the folders of the lenses.

    A page of a hundred lenses is drawn at a time, so that the file may hold them all.

    Args:
        rows: of the lenses.
        path: the HTML file, beside the folder ``lenses``.

    Example:
        >>> from numpyro_lens.fleet.rows import COLUMNS
        >>> write_gallery([COLUMNS | {"name": "J0037"}], Path("gallery.html"))
        >>> "J0037" in Path("gallery.html").read_text()
        True
    """
    columns = [*_COLUMNS, *_common(rows)]
    data = {
        "columns": [*columns, "reason"],
        "rows": [[_cell(row.get(c)) for c in (*columns, "reason")] for row in rows],
        "pictures": [quote(f"lenses/{row['name']}") for row in rows],
    }
    page = _PAGE.substitute(num=len(rows), data=_in_script(data))
    write_atomically(path, lambda path: path.write_text(page, encoding="utf-8"))


def _common(rows: Sequence[Row]) -> list[str]:
    """Columns of an Einstein radius that the lenses have."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if name.endswith(_COMMON)][:4]


def _cell(value: Any) -> Any:
    """What JSON can hold: JavaScript knows no NaN there."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def _in_script(data: Any) -> str:
    """JSON that cannot end its script, whatever the lenses are called."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# Text enters the page as text (`textContent`), never as markup.
_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>numpyro_lens: $num lenses</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff }
table { border-collapse: collapse; font-size: .9rem }
th { cursor: pointer; text-align: left; position: sticky; top: 0; background: #fff }
td, th { padding: .2rem .8rem .2rem 0; vertical-align: top; border-bottom: 1px solid #ddd }
img { height: 12rem; min-width: 4rem }
.good { color: #0072B2 } .failed { color: #D55E00 }
nav { margin: 1rem 0 } button, select, input { font: inherit }
</style>
</head>
<body>
<h1>$num lenses</h1>
<p>A click on the head of a column sorts by it, a second one the other way round.</p>
<nav>
<label>Verdict <select id="verdict"><option value="">all</option></select></label>
<label>Name <input id="name"></label>
<button id="back">back</button> <span id="place"></span> <button id="on">on</button>
</nav>
<table><thead><tr id="head"></tr></thead><tbody id="body"></tbody></table>
<noscript>This page sorts and draws its table by JavaScript; fleet.parquet has it too.</noscript>
<script type="application/json" id="data">$data</script>
<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);
const element = (tag, text) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  return made;
};
const size = 100, verdict = data.columns.indexOf("verdict");
let order = data.rows.map((_, i) => i), sorted = -1, up = true, page = 0;

const chosen = () => order.filter(i =>
  (!at("verdict").value || data.rows[i][verdict] === at("verdict").value) &&
  String(data.rows[i][0]).toLowerCase().includes(at("name").value.toLowerCase()));

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return (a < b ? -1 : a > b ? 1 : 0) * (up ? 1 : -1);
}
function sort(column) {
  up = column === sorted ? !up : true;
  sorted = column;
  order.sort((i, j) => compare(data.rows[i][column], data.rows[j][column]) || i - j);
  page = 0;
  draw();
}
function drawn(i) {
  const row = element("tr"), cell = element("td"), link = element("a"), image = element("img");
  link.href = data.pictures[i] + "/";
  if (data.rows[i][verdict] !== "failed") {
    image.loading = "lazy";
    image.alt = "data, model, residuals and source";
    image.src = data.pictures[i] + "/fit.png";
    link.append(image);
  } else link.textContent = "folder";
  cell.append(link);
  row.append(cell);
  data.rows[i].forEach((value, column) => {
    const made = element("td", value === null ? "" : String(value));
    if (column === verdict) made.className = value;
    row.append(made);
  });
  return row;
}
function draw() {
  const all = chosen(), last = Math.max(0, Math.ceil(all.length / size) - 1);
  page = Math.min(Math.max(page, 0), last);
  at("body").replaceChildren(...all.slice(page * size, (page + 1) * size).map(drawn));
  at("place").textContent = (page + 1) + " of " + (last + 1) + ", " + all.length + " lenses";
}
at("head").append(element("th", ""));
data.columns.forEach((name, column) => {
  const made = element("th", name);
  made.onclick = () => sort(column);
  at("head").append(made);
});
for (const word of new Set(data.rows.map(row => row[verdict]))) {
  const made = element("option", word);
  made.value = word;
  at("verdict").append(made);
}
at("verdict").onchange = at("name").oninput = () => { page = 0; draw(); };
at("back").onclick = () => { page -= 1; draw(); };
at("on").onclick = () => { page += 1; draw(); };
draw();
</script>
</body>
</html>
""")
