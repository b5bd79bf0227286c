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

from absl import flags

from train.command import run, start_tensorflow
from train.config import config_json as configuration
from train.errors import UserError

FLAGS = flags.FLAGS
LOCAL = ("127.0.0.1", "localhost", "::1")
EXAMPLES = 64  # images to begin with


def define() -> None:
    flags.DEFINE_string("workdir", "", "folder of the run")
    flags.DEFINE_string("data_dir", "", "where tfds data sets are, if elsewhere than in training")
    flags.DEFINE_string(
        "host", "127.0.0.1", "address to serve at; 0.0.0.0: whoever reaches this machine"
    )
    flags.DEFINE_integer("port", 7860, "port to serve at; 0: any free one")
    flags.DEFINE_bool("averaged", True, "use the averaged weights, not the raw ones")


def check_flags() -> configuration.Saved:
    """The run's `config.json`. Raises UserError for what is wrong whatever the model is."""
    saved = configuration.require_run(FLAGS.workdir)
    if saved.config.energy_distance:
        raise UserError(
            f"--workdir={FLAGS.workdir}: the run was trained for the energy distance, which gives "
            "no likelihood to show"
        )
    if saved.data.fingerprint or saved.config.condition:
        what = (
            "codes"
            if saved.data.fingerprint
            else f"images given --condition={saved.config.condition}"
        )
        raise UserError(
            f"--workdir={FLAGS.workdir}: the run models {what}, which cannot be drawn by hand"
        )
    if importlib.util.find_spec("gradio") is None:
        raise UserError("gradio is missing, on which the demo is built: pip install -e '.[demo]'")
    return saved


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


def find_examples(saved, model, data_dir):
    """Images to begin with: test images, or samples if the data cannot be had."""
    from train.data.image_sources import scored_images
    from train.run.data import load_data

    try:
        images = scored_images(load_data(saved.config, data_dir))
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
    saved = check_flags()
    port = choose_port(FLAGS.host, FLAGS.port)
    start_tensorflow()
    from train.demo.answers import Answers
    from train.demo.app import Demo, launch, make_app, quiet_gradio
    from train.run.restore import load_run, require_samples

    found = load_run(FLAGS.workdir)
    config, model, step = found.config, found.model(FLAGS.averaged), found.step
    require_samples(model, FLAGS.workdir)
    print(f"{FLAGS.workdir}, step {step}: compiling ...", flush=True)
    answers = Answers(model)
    seconds = answers.warm_up()
    print(f"an answer takes {seconds:.1f} s", flush=True)
    examples = find_examples(saved, model, FLAGS.data_dir)
    title = os.path.basename(os.path.abspath(FLAGS.workdir))
    height, width, _ = saved.data.image_shape
    about = (
        f"{config.model} on {config.dataset}, step {step:,}. Erase or draw a part of the image: "
        f"the model draws what is missing, {height} x {width} pixels from the upper left to the "
        "lower right, each given all before it."
    )
    with tempfile.TemporaryDirectory(prefix="pixelcnn_tf-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        quiet_gradio()
        app = make_app(Demo(answers, saved, examples), title, about)
        address = launch(app, FLAGS.host, port)
        if FLAGS.host not in LOCAL:
            print(f"--host={FLAGS.host}: whoever reaches this machine can use the page", flush=True)
        print(f"serving at {address} (Ctrl-C ends it)", flush=True)
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        with contextlib.suppress(KeyboardInterrupt):
            stop.wait()
        app.close()


if __name__ == "__main__":
    define()
    run(main)
