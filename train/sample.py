"""Samples from a run: `python -m train.sample --workdir=... --num_samples=16`.

With `--complete=top` (or `left`) that half of test images is given, and the rest is sampled.
"""

import math
import os

import numpy as np
from absl import flags

from train.config import saved as configuration
from train.config.pretrained import write_to
from train.errors import UserError, run, writing
from train.files import make_writable_folder
from train.quiet import start_tensorflow

FLAGS = flags.FLAGS
ENDINGS = (".png", ".npz")  # of the files that are written
# Flags that make another request -> how they show in the default name of the files.
IN_NAME = {
    "num_samples": "n{}",
    "num_completions": "x{}",
    "label": "label{}",
    "seed": "seed{}",
    "temperature": "temperature{}",
    "height": "height{}",
    "width": "width{}",
    "averaged": "raw",
}


def define() -> None:
    flags.DEFINE_string("workdir", "", "folder of the run")
    flags.DEFINE_enum("strategy", "auto", ["auto", "one_device", "mirrored"], "as in training")
    flags.DEFINE_integer("nr_gpu", 0, "GPUs to use; 0: all", lower_bound=0)
    flags.DEFINE_string("data_dir", "", "where tfds data sets are, if elsewhere than in training")
    flags.DEFINE_string(
        "output",
        "",
        "files to write (.png and .npz are added), or a folder for them; default: "
        "sample_<step> in <workdir>/samples, with what is not as by default: sample_0000920_seed2",
    )
    flags.DEFINE_integer("num_samples", 16, "number of images; with --complete: of originals")
    flags.DEFINE_enum("complete", None, ["top", "left"], "complete test images, given this half")
    flags.DEFINE_integer(
        "num_completions", 6, "completions of each image; images given each condition"
    )
    flags.DEFINE_string(
        "condition_images",
        "",
        "of a run with --condition: what to draw images given: a folder, file, .npz or data set of "
        "grey or small images, or of whole ones to make such of; default: test images",
    )
    flags.DEFINE_integer("label", None, "class of all images (class-conditional models)")
    flags.DEFINE_integer("seed", 1, "random seed, 0 to 2**64 - 1")
    flags.DEFINE_float("temperature", 1.0, "below 1: less varied than the model")
    flags.DEFINE_integer("height", 0, "of the images, whatever the model was trained at; 0: that")
    flags.DEFINE_integer("width", 0, "likewise")
    flags.DEFINE_bool("averaged", True, "use the averaged weights, not the raw ones")


def check_flags() -> None:
    """Raises UserError for what is wrong whatever the model and the data are."""
    configuration.require_run(FLAGS.workdir)
    if FLAGS.num_samples < 1:
        raise UserError(f"--num_samples={FLAGS.num_samples}: must be at least 1")
    if not 0 < FLAGS.temperature < math.inf:
        raise UserError(f"--temperature={FLAGS.temperature}: must be a number above 0")
    if FLAGS.num_completions < 1:
        raise UserError(f"--num_completions={FLAGS.num_completions}: must be at least 1")
    if not 0 <= FLAGS.seed < 2**64:
        raise UserError(f"--seed={FLAGS.seed}: must be from 0 to {2**64 - 1}")
    if FLAGS.complete and FLAGS.label is not None:
        raise UserError("--label: --complete takes the labels of the test images; use only one")
    if FLAGS.complete and FLAGS.condition_images:
        raise UserError("--condition_images: --complete takes those of the test images")
    if FLAGS.complete and (FLAGS.height or FLAGS.width):
        raise UserError("--height, --width: --complete takes test images, of the size they have")


def default_name(step: int) -> str:
    """The name of the files, without ending: another request gets another name."""
    parts = ["completion" if FLAGS.complete else "sample", f"{step:07d}"]
    parts += [FLAGS.complete] if FLAGS.complete else []
    if FLAGS.condition_images:
        parts.append("given_" + os.path.basename(FLAGS.condition_images.rstrip("/")))
    for flag, text in IN_NAME.items():
        if FLAGS[flag].value != FLAGS[flag].default:
            parts.append(text.format(FLAGS[flag].value))
    return "_".join(parts)


def choose_path(output: str, workdir: str, name: str) -> str:
    """Where to write, without ending.

    Args:
      output: the flag: a folder (which is there, or ends in a slash), a path with or without one
        of the endings, or "" for the run's samples.
      workdir: the run's folder.
      name: of the files, if `output` gives none.
    """
    if not output:
        return os.path.join(workdir, "samples", name)
    if output.endswith("/") or os.path.isdir(output):
        return os.path.join(output, name)
    stem, ending = os.path.splitext(output)
    return stem if ending.lower() in ENDINGS and os.path.basename(stem) else output


def tell_of_another_request(path: str, request: str) -> None:
    """Says so if the file to be written is there and came of another request."""
    if not os.path.exists(path + ".npz"):
        return
    try:
        with np.load(path + ".npz", allow_pickle=False) as file:
            before = str(file["request"])
    except Exception:  # a damaged or foreign file
        before = "something else"
    if before != request:
        print(f"{path}.npz, .png: written over, here was {before}", flush=True)


def _conditions(model, config):
    """What `write_conditioned` is given."""
    from train.data.images import open_images
    from train.output.conditioned import read_conditions
    from train.workdir.data import load_data

    if not FLAGS.condition_images:
        return load_data(config, FLAGS.data_dir)
    images = open_images("condition_images", FLAGS.condition_images, FLAGS.data_dir)
    saved = configuration.load(FLAGS.workdir)
    return read_conditions(model, images, saved, FLAGS.num_samples)


def main(_) -> None:
    check_flags()
    start_tensorflow()
    from train.devices.strategy import make_strategy
    from train.devices.workers import Workers
    from train.output.conditioned import write_conditioned
    from train.output.samples import write_completions, write_samples
    from train.workdir.codes import load_vq_vae, to_size
    from train.workdir.data import load_data
    from train.workdir.restore import load_run, require_samples

    strategy = make_strategy(FLAGS.strategy, FLAGS.nr_gpu)
    found = load_run(FLAGS.workdir)
    config, model, step = found.config, found.model(FLAGS.averaged), found.step
    require_samples(model, FLAGS.workdir)
    model, vq_vae = to_size(model, load_vq_vae(config), FLAGS.height, FLAGS.width)
    if FLAGS.condition_images and model.condition is None:
        raise UserError(
            f"--condition_images={FLAGS.condition_images}: the run has no --condition of images"
        )
    if model.condition is not None and not FLAGS.condition_images and (FLAGS.height or FLAGS.width):
        raise UserError("--height, --width: need --condition_images of that size")
    labels = None
    if FLAGS.label is not None:
        if model.num_classes is None:
            raise UserError(f"--label={FLAGS.label}: the model is not class-conditional")
        if not 0 <= FLAGS.label < model.num_classes:
            raise UserError(f"--label={FLAGS.label}: must be from 0 to {model.num_classes - 1}")
        labels = np.broadcast_to(np.int32(FLAGS.label), [FLAGS.num_samples])
    name = default_name(step)
    path = choose_path(FLAGS.output, write_to(FLAGS.workdir), name)
    request = f"{name} of {FLAGS.workdir}"
    with writing(path):
        make_writable_folder(os.path.dirname(path))
    tell_of_another_request(path, request)
    options = dict(seed=FLAGS.seed, path=path, temperature=FLAGS.temperature, request=request)
    options |= dict(vq_vae=vq_vae)
    try:
        if FLAGS.complete:
            write_completions(
                model,
                load_data(config, FLAGS.data_dir, vq_vae=vq_vae),
                FLAGS.complete,
                FLAGS.num_samples,
                FLAGS.num_completions,
                **options,
            )
        elif model.condition is not None:
            options.pop("vq_vae")
            given = _conditions(model, config)
            write_conditioned(model, given, FLAGS.num_samples, FLAGS.num_completions, **options)
        else:
            workers = Workers(strategy)
            write_samples(model, FLAGS.num_samples, labels=labels, workers=workers, **options)
    except ValueError as error:  # of the sampler, which names argument and value
        raise UserError(str(error)) from None


if __name__ == "__main__":
    define()
    run(main)
