"""A page to play with a run: `python -m train.demo --workdir=...` (extra `demo`).

Draw or erase a part of an image, and see several completions, where they cost bits, and how many.
"""

import contextlib
import importlib.util
import os
import signal
import socket
import tempfile
import threading

from absl import flags as absl_flags

from train import flags
from train.command import run, start_tensorflow
from train.errors import ArgumentError, UserError
from train.run import Run

FLAGS = absl_flags.FLAGS
LOCAL = ("127.0.0.1", "localhost", "::1")
EXAMPLES = 64  # images to begin with


def define() -> None:
    flags.define("workdir", "averaged", "data_dir")
    absl_flags.DEFINE_string("host", "127.0.0.1", "address to serve at; 0.0.0.0: all of them")
    absl_flags.DEFINE_integer("port", 7860, "port to serve at; 0: any free one")


def open_run() -> Run:
    """The run. Raises UserError if the demo cannot show it."""
    opened = Run.open(FLAGS.workdir)
    if opened.config.energy_distance:
        text = "the run was trained for the energy distance, which gives no likelihood to show"
        raise ArgumentError("workdir", opened.workdir, text)
    if opened.data.fingerprint or opened.config.condition:
        what = "codes"
        if not opened.data.fingerprint:
            what = f"images given --condition={opened.config.condition}"
        text = f"the run models {what}, which cannot be drawn by hand"
        raise ArgumentError("workdir", opened.workdir, text)
    if importlib.util.find_spec("gradio") is None:
        raise UserError("gradio is not installed: pip install 'pixelcnn_tf[demo]'")
    return opened


def choose_port(host: str, port: int) -> int:
    """The port, or a free one for 0. Raises UserError if it cannot be had."""
    if not 0 <= port < 2**16:
        raise UserError(f"--port={port}: must be from 0 to {2**16 - 1}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as found:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, port))
            return found.getsockname()[1]
    except socket.gaierror as error:
        raise UserError(f"--host={host}: no address of this machine ({error.strerror})") from None
    except OSError as error:
        what = f"--host={host} --port={port}: cannot be served at ({error.strerror})"
        raise UserError(f"{what}; --port=0 takes any free port") from None


def find_examples(opened, model, data_dir):
    """Images to begin with: test images, or samples if the data cannot be loaded."""
    from train.data.image_sources import scored_images

    try:
        images = scored_images(opened.dataset(data_dir=data_dir))
        return [image.levels for image, _ in zip(images, range(EXAMPLES), strict=False)]
    except UserError as error:
        print(f"no test images ({error}): samples instead", flush=True)
    from pixelcnn_tf.levels import input_to_levels
    from train.demo.answers import COMPLETIONS

    labels = None
    if model.num_classes:
        labels = [number % model.num_classes for number in range(COMPLETIONS)]
    samples = model.sample(COMPLETIONS, seed=1, labels=labels, batch_size=COMPLETIONS)
    return list(input_to_levels(samples, model.num_levels).numpy())


def main(_) -> None:
    opened = open_run()
    port = choose_port(FLAGS.host, FLAGS.port)
    start_tensorflow()
    from train.demo.answers import Answers
    from train.demo.app import Demo, launch, make_app, quiet_gradio
    from train.run.models import check_draws_images

    config, model = opened.config, opened.model(FLAGS.averaged)
    check_draws_images(model, opened.workdir)
    print(f"{opened.workdir}, step {opened.step}: compiling ...", flush=True)
    answers = Answers(model)
    seconds = answers.warm_up()
    print(f"an answer takes {seconds:.1f} s", flush=True)
    examples = find_examples(opened, model, FLAGS.data_dir)
    title = os.path.basename(os.path.abspath(FLAGS.workdir))
    height, width, _ = opened.data.image_shape
    about = (
        f"{config.model} on {config.dataset}, step {opened.step:,}. Erase or draw a part of the "
        f"image: the model draws what is missing, {height} x {width} pixels from upper left to "
        "lower right, each given all before it."
    )
    with tempfile.TemporaryDirectory(prefix="pixelcnn_tf-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        quiet_gradio()
        app = make_app(Demo(answers, opened, examples), title, about)
        address = launch(app, FLAGS.host, port)
        if FLAGS.host not in LOCAL:
            print(
                f"--host={FLAGS.host}: anyone who can reach this machine can use the page",
                flush=True,
            )
        print(f"serving at {address} (Ctrl-C ends it)", flush=True)
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        with contextlib.suppress(KeyboardInterrupt):
            stop.wait()
        app.close()


if __name__ == "__main__":
    define()
    run(main)
