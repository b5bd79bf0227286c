// Draws and erases pixels of an image. The page defines the constants height, width, channels,
// top_level and not_given, and gradio defines element, props and watch. Elements are looked up each
// time, since gradio makes them anew with each value.
const SIDE = 448;  // pixels of the longer side on the screen, at most
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
    context.fillStyle = known[place] ? `rgb(${at(0)}, ${at(1)}, ${at(2)})` : not_given;
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
