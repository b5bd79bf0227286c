"""examples/quickstart.ipynb runs as it is."""

import json
from pathlib import Path

import matplotlib
import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"


@pytest.mark.slow
def test_quickstart_notebook(monkeypatch):
    monkeypatch.setattr(matplotlib, "use", lambda *_: None)
    matplotlib.rcParams["backend"] = "Agg"
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    names = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            code = "".join(cell["source"]).replace("epochs=20", "epochs=1")
            exec(compile(code, f"cell {number}", "exec"), names)
    assert names["bits"].shape == (297,) and names["bits"].mean() < 5.0
