"""The page of the demo, on gradio (extra `demo`)."""

import math
import os
from collections.abc import Sequence

import jinja2
import numpy as np

from train.demo import canvas
from train.demo.answers import Answer, Answers
from train.demo.uploads import read_upload
from train.errors import UserError
from train.report.images import colours_of, heat, heat_gradient, picture, tiles
from train.run import Run

MAX_FILE = 8 * 2**20  # bytes of an upload
MAX_WAITING = 16  # requests that wait for an answer; further ones get an error
FILES_LIVE = 120  # seconds that an uploaded file is kept at most
TEMPERATURES = (0.1, 2.0)
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Liberation Sans", "sans-serif"]
MONO_FONTS = ["ui-monospace", "DejaVu Sans Mono", "monospace"]
BEGIN = (
    "Erase a part of the image, or all of it, to see completions; erase nothing to score the image "
    "itself. Beside each image is its bits-per-pixel map: the brighter, the less likely the pixel."
)
CSS = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
.answer .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr));
  gap: 14px; }
.answer figure { margin: 0; }
.answer img { display: block; width: 100%; height: auto; border-radius: 6px; margin: 0; }
.answer figcaption { font-size: 14px; margin-top: 4px; font-variant-numeric: tabular-nums; }
.answer .scale { display: flex; align-items: center; gap: 8px; font-size: 14px; margin: 0 0 12px;
  color: color-mix(in srgb, var(--body-text-color) 75%, transparent); }
.answer .scale span { flex: none; width: 120px; height: 12px; border-radius: 3px;
  background: HEAT; }
.answer p { font-size: 14px; opacity: 0.75; margin: 12px 0 0; }
.answer p:first-child { margin-top: 0; font-size: 15px; }
.about .html-container, .answer .html-container, #canvas .html-container { padding: 0 !important; }
.about h1 { font-size: 26px; font-weight: 700; margin: 0 0 6px; }
.about p { font-size: 15px; margin: 0; max-width: 80ch; }
"""


_TEMPLATES = jinja2.Environment(autoescape=True)
ABOUT = _TEMPLATES.from_string("<h1>{{ title }}</h1><p>{{ about }}</p>")
ANSWER = _TEMPLATES.from_string("""
<div class="scale">0<span></span>{{ most }} bits per pixel and more</div>
<div class="cards">
{% for picture, score in cards %}
<figure><img src="{{ picture.src }}" alt="{{ picture.alt }}" width="{{ picture.width }}"
 height="{{ picture.height }}"><figcaption>{{ score }}</figcaption></figure>
{% endfor %}
</div>
<p>{{ about }}</p>
""")


def quiet_gradio() -> None:
    """Call before gradio is imported: no analytics, no look-up of newer versions."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"


def show_answer(answer: Answer, opened: Run, seed: int) -> str:
    """The HTML of an answer: every image beside its bits-per-pixel map."""
    data = opened.data
    most = data.image_shape[-1] * float(np.log2(data.num_levels))
    what = "The image" if len(answer.images) == 1 else "Completion"
    cards = []
    for image, bits, score in zip(answer.images, answer.bits, answer.bits_per_dim(), strict=True):
        both = np.stack([colours_of(image, data.num_levels), heat(bits, most)])
        alt = f"{what} and its bits-per-pixel map, {score:.3f} bits/dim"
        cards.append((picture(tiles(both, 2), alt), f"{score:.3f} bits/dim"))
    about = f"{answer.seconds:.1f} s" + ("" if len(answer.images) == 1 else f", seed {seed}")
    return ANSWER.render(cards=cards, most=f"{most:.3g}", about=about)


def _is_integer(value):
    """Whether a number of the page, which may be a float, is an integer."""
    return isinstance(value, (int, float)) and math.isfinite(value) and value == int(value)


class Demo:
    """What the page does, apart from how it looks.

    Args:
      answers: the compiled model.
      opened: the `Run`.
      examples: levels `[N, H, W, C]`, N at least 1, to begin with.
    """

    def __init__(self, answers: Answers, opened: Run, examples: Sequence[np.ndarray]):
        self.answers, self.opened, self.examples = answers, opened, examples

    def answer(self, value: str, temperature: float, label: int, seed: int) -> tuple[str, int]:
        """The HTML of an answer, and the seed for the next.

        Raises:
          UserError: for an argument out of range.
        """
        levels, known = canvas.of_value(value, self.opened.data)
        low, high = TEMPERATURES
        if not isinstance(temperature, (int, float)) or not low <= temperature <= high:
            raise UserError(f"temperature {temperature}: must be from {low} to {high}")
        num_classes = self.answers.model.num_classes or 1
        if not _is_integer(label) or not 0 <= label < num_classes:
            raise UserError(f"class {label}: must be an integer from 0 to {num_classes - 1}")
        if not _is_integer(seed) or not 0 <= seed < 2**31:
            raise UserError(f"seed {seed}: must be an integer from 0 to {2**31 - 1}")
        answer = self.answers(levels, known, float(temperature), int(label), int(seed))
        return show_answer(answer, self.opened, int(seed)), (int(seed) + 1) % 2**31

    def example(self, number: int) -> tuple[str, int]:
        """An example as a value of the canvas, and the number of the next."""
        number = int(number) % len(self.examples)
        return canvas.to_value(self.examples[number]), number + 1

    def upload(self, path: str, inverted: bool) -> tuple[str, str]:
        """An uploaded image as a value of the canvas, and what was done to it. The file is deleted.

        Raises:
          UserError: if it cannot be read.
        """
        if not path:
            raise UserError("no file was given")
        if self.opened.config.input_embedding:
            raise UserError("uploads: the levels of this run are codes, not intensities")
        name = os.path.basename(path)
        try:
            levels, changes = read_upload(path, name, self.opened)
        finally:
            if os.path.isfile(path):
                os.remove(path)
        if inverted:
            levels = self.opened.data.num_levels - 1 - levels.astype(np.int32)
            changes.append("inverted")
        return canvas.to_value(levels), f"{name}: {', '.join(changes) or 'unchanged'}."


def make_app(demo: Demo, title: str, about: str):
    """The page as `gradio.Blocks`, to be launched.

    Args:
      demo: what it does.
      title, about: its heading, and a sentence below; plain texts.
    """
    import gradio

    def as_gradio_error(function):
        def wrapped(*arguments):
            try:
                return function(*arguments)
            except UserError as error:
                raise gradio.Error(str(error), print_exception=False) from None

        return wrapped

    with gradio.Blocks(
        title=title,
        analytics_enabled=False,
        delete_cache=(FILES_LIVE // 2, FILES_LIVE),
        fill_width=True,
    ) as app:
        gradio.HTML(ABOUT.render(title=title, about=about), elem_classes="about")
        with gradio.Row():
            with gradio.Column(scale=4, min_width=300):
                drawn = gradio.HTML(
                    demo.example(0)[0], **canvas.parts(demo.opened.data), elem_id="canvas"
                )
                with gradio.Row():
                    another = gradio.Button("Another image", size="sm", min_width=100)
                    upload = gradio.UploadButton(
                        "Upload one", file_types=["image"], size="sm", min_width=100
                    )
                inverted = gradio.Checkbox(
                    label="Invert what I upload", container=False, elem_id="inverted"
                )
                message = gradio.Markdown(elem_id="message")
            with gradio.Column(scale=5, min_width=300):
                with gradio.Row():
                    low, high = TEMPERATURES
                    temperature = gradio.Slider(
                        low,
                        high,
                        1.0,
                        step=0.05,
                        label="Temperature",
                        visible=demo.answers.has_temperature,
                    )
                    num_classes = demo.answers.model.num_classes
                    label = gradio.Slider(
                        0,
                        (num_classes or 2) - 1,
                        0,
                        step=1,
                        label="Class",
                        visible=bool(num_classes),
                    )
                    seed = gradio.Number(1, label="Seed", precision=0, min_width=90)
                go = gradio.Button("Complete and score", variant="primary")
                shown = gradio.HTML(f"<p>{BEGIN}</p>", elem_classes="answer")
        number = gradio.Number(1, visible=False)
        # One at a time, of all kinds: an answer takes all cores.
        options = dict(concurrency_id="model", concurrency_limit=1, show_progress="minimal")
        go.click(
            as_gradio_error(demo.answer),
            [drawn, temperature, label, seed],
            [shown, seed],
            api_name="complete",
            **options,
        )
        another.click(demo.example, number, [drawn, number], api_name="example", **options)
        upload.upload(
            as_gradio_error(demo.upload),
            [upload, inverted],
            [drawn, message],
            api_name="upload",
            **options,
        )
    app.queue(max_size=MAX_WAITING)
    return app


def launch(app, host: str, port: int) -> str:
    """Serves the page in the background; returns its address."""
    import gradio

    theme = gradio.themes.Default(font=FONTS, font_mono=MONO_FONTS)
    _, address, _ = app.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        show_error=True,
        quiet=True,
        max_file_size=MAX_FILE,
        theme=theme,
        css=CSS.replace("HEAT", heat_gradient()),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        share=False,
        inbrowser=False,
    )
    return address
