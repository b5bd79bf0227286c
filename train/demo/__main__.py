"""An interactive page for a run: `python -m train.demo --workdir=...` (extra `demo`).

Draw or erase a part of an image to see completions, their bits/dim and their bits-per-pixel maps.
"""

import contextlib
import importlib.util
import os
import signal
import socket
import tempfile
import threading
from itertools import islice

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
    absl_flags.DEFINE_integer(
        "port", 7860, "port to serve at; 0: any free one", lower_bound=0, upper_bound=2**16 - 1
    )


def open_run() -> Run:
    """The run. Raises UserError if the demo does not support it."""
    opened = Run.open(FLAGS.workdir)
    config, reason = opened.config, ""
    if config.energy_distance:
        reason = "the demo needs a likelihood; the run was trained with the energy distance"
    elif opened.data.fingerprint:
        reason = "the demo needs a model of images; the run models codes"
    elif config.condition:
        reason = f"the demo does not support --condition={config.condition}"
    if reason:
        raise ArgumentError("workdir", opened.workdir, reason)
    if importlib.util.find_spec("gradio") is None:
        raise UserError("gradio is not installed: pip install 'pixelcnn_tf[demo]'")
    return opened


def choose_port(host: str, port: int) -> int:
    """The port, or a free one for 0. Raises UserError if it is not available."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as found:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, port))
            return found.getsockname()[1]
    except socket.gaierror as error:
        raise ArgumentError(
            "host", host, f"not an address of this machine: {error.strerror}"
        ) from None
    except OSError as error:
        text = f"cannot serve at {host}: {error.strerror}; --port=0 takes any free port"
        raise ArgumentError("port", port, text) from None


def find_examples(opened, model, data_dir):
    """Images to begin with: test images, or samples if the data cannot be loaded."""
    from pixelcnn_tf.levels import input_to_levels
    from train.data.image_sources import scored_images
    from train.demo.answers import COMPLETIONS

    try:
        images = islice(scored_images(opened.dataset(data_dir=data_dir)), EXAMPLES)
        return [image.levels for image in images]
    except UserError as error:
        print(f"warning: samples instead of test images: {error}", flush=True)
    labels = [n % model.num_classes for n in range(COMPLETIONS)] if model.num_classes else None
    samples = model.sample(COMPLETIONS, seed=1, labels=labels, batch_size=COMPLETIONS)
    return list(input_to_levels(samples, model.num_levels).numpy())


def main(_) -> None:
    opened = open_run()
    port = choose_port(FLAGS.host, FLAGS.port)
    start_tensorflow()
    from train.demo.answers import Answers
    from train.demo.app import Demo, launch, make_app, quiet_gradio
    from train.run.models import check_draws_images

    model = opened.model(FLAGS.averaged)
    check_draws_images(model, opened.workdir)
    print(f"{opened.workdir}, step {opened.step}: compiling ...", flush=True)
    answers = Answers(model)
    print(f"{answers.warm_up():.1f} s per answer", flush=True)
    examples = find_examples(opened, model, FLAGS.data_dir)
    with tempfile.TemporaryDirectory(prefix="pixelcnn_tf-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        quiet_gradio()
        title = os.path.basename(os.path.abspath(FLAGS.workdir))
        app = make_app(Demo(answers, opened, examples, folder), title)
        address = launch(app, FLAGS.host, port)
        if FLAGS.host not in LOCAL:
            text = "anyone who can reach this machine can use the page"
            print(f"warning: --host={FLAGS.host}: {text}", flush=True)
        print(f"serving at {address} (Ctrl-C ends it)", flush=True)
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        with contextlib.suppress(KeyboardInterrupt):
            stop.wait()
        app.close()


if __name__ == "__main__":
    define()
    run(main)
