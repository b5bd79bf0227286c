"""The page of the demo, made with gradio (extra `demo`)."""

import dataclasses
import html
import os
from collections.abc import Sequence

import numpy as np

from train.demo import canvas
from train.demo.answers import Answers
from train.demo.uploads import check_uploaded, read_upload
from train.errors import UserError
from train.report.charts import heat, heat_gradient, picture, to_rgb, uniform_bits
from train.run import Run

MAX_FILE = 8 * 2**20  # bytes of an upload
MAX_WAITING = 16  # requests that wait for an answer; further ones get an error
FILES_LIVE = 120  # seconds that an uploaded file is kept at most
TEMPERATURES = (0.1, 2.0)
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Liberation Sans", "sans-serif"]
MONO_FONTS = ["ui-monospace", "DejaVu Sans Mono", "monospace"]
INSTRUCTIONS = (
    "Erase a part of the image to see completions; erase nothing to score the image itself. Beside "
    "each image is its bits-per-pixel map: the brighter, the less likely the pixel."
)


def quiet_gradio() -> None:
    """Call before gradio is imported: no analytics, no search for newer versions."""
    os.environ |= dict(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1")
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def render(template: str, **values) -> str:
    """A template of this package; the values are escaped."""
    return canvas.TEMPLATES.get_template(template).render(values)


def check_number(name: str, value: object, low: float, high: float, kind: type = int):
    """The value of a field as this kind of number. Raises UserError if it is not one in range."""
    if isinstance(value, (int, float)) and low <= value <= high and value == kind(value):
        return kind(value)
    what = "an integer" if kind is int else "a number"
    raise UserError(f"{name} must be {what} from {low} to {high}, got {repr(value)[:40]}")


@dataclasses.dataclass(frozen=True)
class Demo:
    """The functions of the page.

    Attributes:
      answers: the compiled model.
      run: its `Run`.
      examples: levels `[N, H, W, C]`, N at least 1, to begin with.
      upload_folder: where gradio keeps uploaded files; no other file is read or deleted.
    """

    answers: Answers
    run: Run
    examples: Sequence[np.ndarray]
    upload_folder: str

    def answer(self, value: str, temperature: float, label: int, seed: int) -> tuple[str, int]:
        """The HTML of an answer, each image beside its bits-per-pixel map, and the seed of the next
        answer. Raises UserError for an argument out of range."""
        levels, known = canvas.of_value(value, self.run.data)
        temperature = check_number("temperature", temperature, *TEMPERATURES, float)
        label = check_number("class", label, 0, (self.answers.model.num_classes or 1) - 1)
        seed = check_number("seed", seed, 0, 2**31 - 1)
        found = self.answers(levels, known, temperature, label, seed)
        num_levels = self.run.data.num_levels
        most = uniform_bits(self.run.data.image_shape, num_levels)
        cards = [
            (picture(to_rgb(image, num_levels)), picture(heat(bits, most)), f"{score:.3f} bits/dim")
            for image, bits, score in zip(
                found.images, found.bits, found.bits_per_dim(), strict=True
            )
        ]
        values = dict(cards=cards, most=most, seconds=found.seconds, seed=seed)
        return render("answer.html", **values), (seed + 1) % 2**31

    def example(self, number: int) -> tuple[str, int]:
        """An example as a value of the canvas, and the number of the next one."""
        return canvas.to_value(self.examples[number % len(self.examples)]), number + 1

    def upload(self, path: str, inverted: bool) -> tuple[str, str]:
        """An uploaded image as a value of the canvas, and the HTML of a message about its
        conversion. The file is deleted. Raises UserError if it cannot be read."""
        check_uploaded(path, self.upload_folder)
        name = os.path.basename(path)
        try:
            if self.run.config.input_embedding:
                raise UserError("upload: the levels of this run are codes, not intensities")
            levels, changes = read_upload(path, name, self.run)
        finally:
            if os.path.isfile(path):
                os.remove(path)
        if inverted:
            levels = self.run.data.num_levels - 1 - levels.astype(np.int32)
            changes.append("inverted")
        message = f"{name}: {', '.join(changes) or 'unchanged'}."
        return canvas.to_value(levels), html.escape(message)


def make_app(demo: Demo, title: str):
    """The page as `gradio.Blocks`, to be launched."""
    import gradio

    def with_errors(function):
        def wrapped(*arguments):
            try:
                return function(*arguments)
            except UserError as error:
                # The page shows the message as HTML.
                text = html.escape(str(error), quote=False)
                raise gradio.Error(text, print_exception=False) from None

        return wrapped

    run, num_classes = demo.run, demo.answers.model.num_classes
    values = dict(config=run.config, step=run.step, shape=run.data.image_shape)
    with gradio.Blocks(
        title=title,
        analytics_enabled=False,
        delete_cache=(FILES_LIVE // 2, FILES_LIVE),
        fill_width=True,
    ) as app:
        gradio.HTML(render("about.html", title=title, **values), elem_classes="about")
        with gradio.Row():
            with gradio.Column(scale=4, min_width=300):
                drawn = gradio.HTML(demo.example(0)[0], **canvas.parts(run.data), elem_id="canvas")
                with gradio.Row():
                    small = dict(size="sm", min_width=100)
                    another = gradio.Button("Another image", **small)
                    upload = gradio.UploadButton("Upload", file_types=["image"], **small)
                inverted = gradio.Checkbox(label="Invert uploads", container=False)
                message = gradio.HTML(elem_id="message")
            with gradio.Column(scale=5, min_width=300):
                with gradio.Row():
                    temperature = gradio.Slider(*TEMPERATURES, 1.0, step=0.05, label="Temperature")
                    top, shown = (num_classes or 2) - 1, bool(num_classes)
                    label = gradio.Slider(0, top, 0, step=1, label="Class", visible=shown)
                    # Not rounded by gradio, which raises errors of its own for NaN and texts.
                    seed = gradio.Number(1, label="Seed", min_width=90)
                go = gradio.Button("Complete and score", variant="primary")
                answer = gradio.HTML(f"<p>{INSTRUCTIONS}</p>", elem_classes="answer")
        number = gradio.State(1)
        # One request at a time, of all kinds: an answer uses all cores.
        options = dict(concurrency_id="model", concurrency_limit=1, show_progress="minimal")
        inputs = [drawn, temperature, label, seed]
        go.click(with_errors(demo.answer), inputs, [answer, seed], api_name="complete", **options)
        another.click(demo.example, number, [drawn, number], api_name="example", **options)
        inputs = [upload, inverted]
        upload.upload(
            with_errors(demo.upload), inputs, [drawn, message], api_name="upload", **options
        )
    app.queue(max_size=MAX_WAITING)
    return app


def launch(app, host: str, port: int) -> str:
    """Serves the page in the background; returns its address."""
    import gradio

    return app.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        show_error=True,
        quiet=True,
        max_file_size=MAX_FILE,
        theme=gradio.themes.Default(font=FONTS, font_mono=MONO_FONTS),
        css=render("page.css", gradient=heat_gradient()),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        share=False,
    )[1]
