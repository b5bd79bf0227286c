"""The canvas of the demo: an image that is drawn on, pixel by pixel, in the browser.

Its value is JSON: `{"levels": [...], "known": [...]}`, the levels of all sub-pixels row by row, and
for every pixel 1 if it is known, 0 if the model samples it.
"""

import json

import jinja2
import numpy as np

from train.data.description import DataDescription
from train.errors import UserError
from train.report.charts import NOT_GIVEN

CHARACTERS = 8  # of the value for each number in it, at most
TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader("train.demo"), autoescape=True)


def parts(data: DataDescription) -> dict[str, str]:
    """`html_template`, `css_template` and `js_on_load` of a `gradio.HTML` for a run's images."""
    height, width, channels = data.image_shape
    constants = dict(height=height, width=width, channels=channels, top_level=data.num_levels - 1)
    constants["not_given"] = f"rgb{NOT_GIVEN}"
    html, css = (TEMPLATES.get_template(f"canvas.{kind}") for kind in ("html", "css"))
    # The script is no template: nothing in it is escaped.
    script, _, _ = TEMPLATES.loader.get_source(TEMPLATES, "canvas.js")
    lines = [f"const {name} = {json.dumps(value)};" for name, value in constants.items()]
    return {
        "html_template": html.render(constants),
        "css_template": css.render(),
        "js_on_load": "\n".join([*lines, script]),
    }


def to_value(levels: np.ndarray, known: np.ndarray | None = None) -> str:
    """The value of an image, integers `[H, W, C]`; `known`: bool `[H, W]`, default all."""
    known = np.ones(levels.shape[:2], bool) if known is None else known
    lists = {"levels": levels.ravel().tolist(), "known": known.astype(int).ravel().tolist()}
    return json.dumps(lists, separators=(",", ":"))


def of_value(value: object, data: DataDescription) -> tuple[np.ndarray, np.ndarray]:
    """`(levels, known)`: int32 `[H, W, C]`, bool `[H, W]`.

    Raises:
      UserError: if the value, which is not trusted, is not an image of the run.
    """
    height, width, channels = data.image_shape
    kind = f"{height} x {width} pixels and {data.num_levels} levels"
    wrong = UserError(f"canvas must be JSON with levels and known of an image of {kind}")
    if not isinstance(value, str) or len(value) > CHARACTERS * height * width * (channels + 1) + 64:
        raise wrong
    try:
        found = json.loads(value)
        levels, known = (np.array(found[name]) for name in ("levels", "known"))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        raise wrong from None
    if levels.shape != (height * width * channels,) or known.shape != (height * width,):
        raise wrong
    if levels.dtype.kind not in "iu" or known.dtype.kind not in "iub":
        raise wrong
    if levels.min() < 0 or levels.max() >= data.num_levels or not np.isin(known, (0, 1)).all():
        raise wrong
    levels = levels.reshape(data.image_shape).astype(np.int32)
    return levels, known.reshape(height, width).astype(bool)
