"""The canvas of the demo: an image that is drawn on pixel by pixel, in the browser.

Its value is a text, JSON: `{"levels": [...], "known": [...]}`, the levels of all sub-pixels row by
row and for every pixel 1 if it is known, 0 if it is to be drawn by the model.
"""

import json

import numpy as np

from train.data.description import DataDescription
from train.errors import UserError
from train.report.images import NOT_GIVEN

SIDE = 448  # pixels of the longer side on the screen, at most
CHARACTERS = 8  # of the value for each number in it, at most

HTML = """
<div class="tools" role="group" aria-label="Drawing">
  <button type="button" data-tool="erase" aria-pressed="true">Erase</button>
  <button type="button" data-tool="draw" aria-pressed="false">Draw</button>
  <label>Brush
    <select data-size aria-label="Size of the brush in pixels">
      <option>1</option><option>2</option><option selected>3</option><option>5</option>
      <option>8</option>
    </select>
  </label>
  COLOUR
</div>
<canvas role="img" aria-label="The image: draw or erase with a mouse, a pen or a finger"></canvas>
<div class="tools" role="group" aria-label="Erase a part">
  <span>Erase</span>
  <button type="button" data-part="bottom">lower half</button>
  <button type="button" data-part="right">right half</button>
  <button type="button" data-part="all">all</button>
  <button type="button" data-part="none">nothing</button>
</div>
"""
GREY = '<label>Grey <input type="range" data-colour min="0" max="TOP" value="TOP"></label>'
RGB = '<label>Colour <input type="color" data-colour value="#ffffff"></label>'

CSS = """
canvas { display: block; width: 100%; max-width: SIDEpx; touch-action: none; cursor: crosshair;
  border-radius: 6px; margin: 10px 0; image-rendering: pixelated; }
.tools * { margin: 0 !important; }
.tools { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; font-size: 14px; }
.tools label { display: flex; align-items: center; gap: 6px; }
.tools button, .tools select { font: inherit; min-height: 34px; padding: 2px 12px; cursor: pointer;
  border: 1px solid var(--border-color-primary); border-radius: 6px;
  background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color); }
.tools button[aria-pressed="true"] { background: var(--button-primary-background-fill);
  color: var(--button-primary-text-color); border-color: transparent; }
.tools input { accent-color: var(--color-accent); }
.tools input[type="range"] { width: 96px; }
.tools input[type="color"] { width: 44px; height: 34px; padding: 2px; }
"""

# Elements are looked up anew each time, since gradio makes them anew with each value.
JS = """
const height = HEIGHT, width = WIDTH, channels = CHANNELS, top_level = TOP;
const scale = Math.max(1, Math.floor(SIDE / Math.max(height, width)));
let levels = [], known = [], tool = 'erase', size = 3, colour = null, drawing = false, last = null;
const find = (selector) => element.querySelector(selector);

function read() {
  try {
    const value = JSON.parse(props.value);
    levels = value.levels; known = value.known;
  } catch (error) {
    levels = Array(height * width * channels).fill(0); known = Array(height * width).fill(1);
  }
}
function show() {
  const canvas = find('canvas');
  if (!canvas) return;
  canvas.width = width * scale; canvas.height = height * scale;
  const context = canvas.getContext('2d');
  for (let place = 0; place < height * width; place++) {
    const at = (c) =>
      Math.round(255 * levels[place * channels + (channels > 1 ? c : 0)] / top_level);
    context.fillStyle = known[place] ? `rgb(${at(0)}, ${at(1)}, ${at(2)})` : 'rgb(NOT_GIVEN)';
    const x = place % width * scale, y = Math.floor(place / width) * scale;
    context.fillRect(x, y, scale, scale);
  }
  for (const button of element.querySelectorAll('[data-tool]'))
    button.setAttribute('aria-pressed', String(button.dataset.tool === tool));
  find('[data-size]').value = String(size);
  if (colour !== null) find('[data-colour]').value = colour;
}
function send() { props.value = JSON.stringify({levels, known}); }
function chosen() {
  const value = find('[data-colour]').value;
  if (channels === 1) return [Number(value)];
  return [1, 3, 5].map((i) => Math.round(parseInt(value.slice(i, i + 2), 16) * top_level / 255));
}
function dab(row, column) {
  const paint = chosen();
  for (let r = row - Math.floor((size - 1) / 2); r <= row + Math.floor(size / 2); r++)
    for (let c = column - Math.floor((size - 1) / 2); c <= column + Math.floor(size / 2); c++) {
      if (r < 0 || c < 0 || r >= height || c >= width) continue;
      const place = r * width + c;
      known[place] = tool === 'draw' ? 1 : 0;
      if (tool === 'draw') paint.forEach((level, i) => { levels[place * channels + i] = level; });
    }
}
function stroke(event) {
  const box = find('canvas').getBoundingClientRect();
  const row = Math.floor((event.clientY - box.top) / box.height * height);
  const column = Math.floor((event.clientX - box.left) / box.width * width);
  const from = last || [row, column];
  const steps = Math.max(1, Math.abs(row - from[0]), Math.abs(column - from[1]));
  for (let i = 0; i <= steps; i++)
    dab(Math.round(from[0] + (row - from[0]) * i / steps),
        Math.round(from[1] + (column - from[1]) * i / steps));
  last = [row, column];
  show();
}
element.addEventListener('pointerdown', (event) => {
  if (event.target !== find('canvas')) return;
  event.preventDefault();
  drawing = true; last = null; stroke(event);
});
window.addEventListener('pointermove', (event) => { if (drawing) stroke(event); });
for (const name of ['pointerup', 'pointercancel'])
  window.addEventListener(name, () => { if (drawing) { drawing = false; send(); } });
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.tool) { tool = button.dataset.tool; show(); return; }
  const part = button.dataset.part;
  if (!part) return;
  for (let place = 0; place < height * width; place++) {
    const row = Math.floor(place / width), column = place % width;
    if (part === 'none') known[place] = 1;
    if (part === 'all' || (part === 'bottom' && row >= height / 2)
        || (part === 'right' && column >= width / 2)) known[place] = 0;
  }
  show(); send();
});
element.addEventListener('input', (event) => {
  if (event.target.matches('[data-size]')) size = Number(event.target.value);
  if (event.target.matches('[data-colour]')) { colour = event.target.value; tool = 'draw'; show(); }
});
watch('value', () => { if (!drawing) { read(); show(); } });
read(); show();
"""


def parts(data: DataDescription) -> dict[str, str]:
    """`html_template`, `css_template` and `js_on_load` of a `gradio.HTML` for a run's images."""
    height, width, channels = data.image_shape
    top = str(data.num_levels - 1)
    colour = GREY.replace("TOP", top) if channels == 1 else RGB
    values = {"HEIGHT": height, "WIDTH": width, "CHANNELS": channels, "TOP": top, "SIDE": SIDE}
    values["NOT_GIVEN"] = ", ".join(map(str, NOT_GIVEN))
    script = JS
    for name, value in values.items():
        script = script.replace(name, str(value))
    return {
        "html_template": HTML.replace("COLOUR", colour),
        "css_template": CSS.replace("SIDE", str(SIDE)),
        "js_on_load": script,
    }


def to_value(levels: np.ndarray, known: np.ndarray | None = None) -> str:
    """The value of an image, integers `[H, W, C]`; `known`: bool `[H, W]`, default all."""
    known = np.ones(levels.shape[:2], bool) if known is None else known
    lists = {"levels": levels.ravel().tolist(), "known": known.astype(int).ravel().tolist()}
    return json.dumps(lists, separators=(",", ":"))


def of_value(value: object, data: DataDescription) -> tuple[np.ndarray, np.ndarray]:
    """`(levels, known)`: int32 `[H, W, C]`, bool `[H, W]`.

    Raises:
      UserError: if the value, which may come from anybody, is no image of the run.
    """
    height, width, channels = data.image_shape
    kind = f"an image of {height} x {width} pixels and {data.num_levels} levels"
    wrong = UserError(f"canvas: not {kind}, as JSON with levels and known")
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
    shape = [height, width, channels]
    return levels.reshape(shape).astype(np.int32), known.reshape(shape[:2]).astype(bool)
