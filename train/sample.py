"""Samples from a run: `python -m train.sample --workdir=... --num_samples=16`.

`--complete=top` (or `left`) keeps that half of test images and samples the rest. A run with
`--condition` draws images given the condition of others: `--condition_images`, `--like`,
`--interpolate`.
"""

import math
import os

import numpy as np
from absl import flags as absl_flags

from train import flags
from train.command import run, start_tensorflow
from train.errors import ArgumentError, UserError, writing
from train.files import make_writable_folder
from train.run import Run

FLAGS = absl_flags.FLAGS
EXTENSIONS = (".png", ".npz")  # of the files that are written
# Flags that make another request -> how they appear in the default name of the files.
IN_NAME = {
    "steps": "steps{}",
    "num_samples": "n{}",
    "num_completions": "x{}",
    "label": "label{}",
    "seed": "seed{}",
    "temperature": "temperature{}",
    "height": "height{}",
    "width": "width{}",
    "alpha": "{}",
    "averaged": "raw",
}
CONDITIONS = ("condition_images", "like", "interpolate")  # at most one of them


def define() -> None:
    flags.define("workdir", "averaged", "data_dir", "alpha", "label", "seed", "temperature")
    flags.define("height", "width", "strategy", "nr_gpu")
    flags.define(
        num_samples="number of images; with --complete: of originals",
        output="files to write (.png and .npz are added), or a folder for them; default: "
        "sample_<step> in <workdir>/samples, with the flags that are not default: "
        "sample_0000920_seed2",
    )
    absl_flags.DEFINE_enum(
        "complete", None, ["top", "left"], "complete test images, given this half"
    )
    absl_flags.DEFINE_integer(
        "num_completions",
        6,
        "completions of each image; samples given each condition",
        lower_bound=1,
    )
    absl_flags.DEFINE_string(
        "condition_images",
        "",
        "of a run with --condition: a folder, file, .npz or data set of conditions (grey or small "
        "images), or of images whose condition is computed; default: test images",
    )
    absl_flags.DEFINE_string(
        "like",
        "",
        "of a run with --condition=embedding:...: an image; samples are given its vector",
    )
    absl_flags.DEFINE_list(
        "interpolate",
        [],
        "of such a run: two images, a.png,b.png; draws --num_completions rows of samples given the "
        "vectors on the line between theirs, each row with one noise",
    )
    absl_flags.DEFINE_integer("steps", 9, "images per row of --interpolate", lower_bound=2)


def check_flags() -> None:
    """Raises ArgumentError for what is wrong whatever the model and the data are."""
    if FLAGS.num_samples < 1:
        raise ArgumentError("num_samples", FLAGS.num_samples, "must be at least 1")
    if not 0 < FLAGS.temperature < math.inf:
        raise ArgumentError("temperature", FLAGS.temperature, "must be a number above 0")
    used = [name for name in ("complete", *CONDITIONS) if FLAGS[name].value]
    if len(used) > 1:
        text = f"excludes --{used[1]}={_shown(used[1])}; use only one"
        raise ArgumentError(used[0], _shown(used[0]), text)
    if FLAGS.complete:
        for name in ("label", "height", "width"):
            if FLAGS[name].present:
                text = "--complete uses the labels and the size of the test images; leave it out"
                raise ArgumentError(name, FLAGS[name].value, text)
    if FLAGS.alpha and not any(FLAGS[name].value for name in CONDITIONS):
        text = "is for the images of --condition_images, --like and --interpolate"
        raise ArgumentError("alpha", FLAGS.alpha, text)
    if FLAGS.interpolate and len(FLAGS.interpolate) != 2:
        text = "must be two images, a.png,b.png"
        raise ArgumentError("interpolate", _shown("interpolate"), text)
    for name, other in (("num_samples", "interpolate"), ("num_completions", "like")):
        if FLAGS[name].present and FLAGS[other].value:
            raise ArgumentError(name, FLAGS[name].value, f"has no effect with --{other}")
    if FLAGS["steps"].present and not FLAGS.interpolate:
        raise ArgumentError("steps", FLAGS.steps, "is for --interpolate")


def _shown(flag):
    value = FLAGS[flag].value
    return ",".join(value) if isinstance(value, list) else value


def _check_model(model, data) -> None:
    """Raises ArgumentError for flags that do not suit the model."""
    for name in CONDITIONS:
        if not FLAGS[name].value:
            continue
        if model.condition is None:
            raise ArgumentError(name, _shown(name), "the run has no --condition of images")
        if model.encoder is None and name != "condition_images":
            text = "is for a run with --condition=embedding:..., this one has "
            text += f"--condition={model.condition.name}"
            raise ArgumentError(name, _shown(name), text)
    if FLAGS["num_completions"].present and model.condition is None and not FLAGS.complete:
        text = "is for --complete, and for runs with a --condition"
        raise ArgumentError("num_completions", FLAGS.num_completions, text)
    given = any(FLAGS[name].value for name in CONDITIONS)
    if model.condition is not None and not given and (FLAGS.height or FLAGS.width):
        raise UserError("--height, --width: need --condition_images of that size")
    if FLAGS.label is not None:
        if model.num_classes is None:
            raise ArgumentError("label", FLAGS.label, "the model is not class-conditional")
        if not 0 <= FLAGS.label < model.num_classes:
            text = f"must be from 0 to {model.num_classes - 1}"
            raise ArgumentError("label", FLAGS.label, text)


def _stem(path):
    """A file's name without folder and extension, or a data set's, for another file's name."""
    return os.path.splitext(os.path.basename(path.rstrip("/")))[0].replace(":", "_")


def default_name(step: int) -> str:
    """The name of the files, without extension: another request gets another name."""
    parts = ["completion" if FLAGS.complete else "sample", f"{step:07d}"]
    parts += [FLAGS.complete] if FLAGS.complete else []
    if FLAGS.condition_images:
        parts.append("given_" + os.path.basename(FLAGS.condition_images.rstrip("/")))
    if FLAGS.like:
        parts.append("like_" + _stem(FLAGS.like))
    if FLAGS.interpolate:
        parts += ["between", *map(_stem, FLAGS.interpolate)]
    for flag, text in IN_NAME.items():
        if FLAGS[flag].value != FLAGS[flag].default:
            parts.append(text.format(FLAGS[flag].value))
    return "_".join(parts)


def choose_path(output: str, folder: str, name: str) -> str:
    """Where to write, without extension.

    Args:
      output: the flag: a folder (which exists, or ends in a slash), a path with or without one of
        the extensions, or "" for the run's samples.
      folder: of the run's outputs.
      name: of the files, if `output` gives none.
    """
    if not output:
        return os.path.join(folder, "samples", name)
    if output.endswith("/") or os.path.isdir(output):
        return os.path.join(output, name)
    stem, extension = os.path.splitext(output)
    return stem if extension.lower() in EXTENSIONS and os.path.basename(stem) else output


def _read(opened, model, flag, what, number):
    """The conditions of the images that a flag names."""
    from train.data.image_sources import open_images
    from train.sampling.conditioned import read_conditions

    data_dir = FLAGS.data_dir or opened.config.data_dir
    images = open_images(flag, what, data_dir, alpha=FLAGS.alpha)
    return read_conditions(model, images, opened, number)


def _read_one(opened, model, flag, what):
    given = _read(opened, model, flag, what, 2)
    if len(given.conditions) > 1:
        raise ArgumentError(flag, _shown(flag), f"{what} has several images, must be one")
    return given


def _write_conditioned(opened, model, options):
    """Samples given conditions."""
    from train.sampling import conditioned

    number = FLAGS.num_samples
    if FLAGS.like:
        given = _read_one(opened, model, "like", FLAGS.like)
        conditioned.write_like(model, given, number, **options)
    elif FLAGS.interpolate:
        ends = [_read_one(opened, model, "interpolate", end) for end in FLAGS.interpolate]
        given = conditioned.ConditionBatch(*map(np.concatenate, zip(*ends, strict=True)))
        rows = FLAGS.num_completions
        conditioned.write_interpolation(model, given, FLAGS.steps, rows, **options)
    else:
        if FLAGS.condition_images:
            given = _read(opened, model, "condition_images", FLAGS.condition_images, number)
        else:
            dataset = opened.dataset(data_dir=FLAGS.data_dir)
            given = conditioned.test_conditions(model, dataset, number)
        conditioned.write_conditioned(model, given, FLAGS.num_completions, **options)


def main(_) -> None:
    opened = Run.open(FLAGS.workdir)
    check_flags()
    start_tensorflow()
    from train.devices import Workers, make_strategy
    from train.run.models import check_draws_images
    from train.sampling.samples import write_completions, write_samples

    strategy = make_strategy(FLAGS.strategy, FLAGS.nr_gpu)
    check_draws_images(opened.model(FLAGS.averaged), opened.workdir)
    model, decoder = opened.sized_model(FLAGS.height, FLAGS.width, FLAGS.averaged)
    _check_model(model, opened.data)
    name = default_name(opened.step)
    path = choose_path(FLAGS.output, opened.output_folder, name)
    with writing(path):
        make_writable_folder(os.path.dirname(path))
    options = dict(seed=FLAGS.seed, path=path, temperature=FLAGS.temperature)
    options["request"] = f"{name} of {opened.workdir}"
    try:
        if FLAGS.complete:
            dataset = opened.dataset(data_dir=FLAGS.data_dir)
            counts = FLAGS.num_samples, FLAGS.num_completions
            write_completions(model, dataset, FLAGS.complete, *counts, decoder=decoder, **options)
        elif model.condition is not None:
            _write_conditioned(opened, model, options)
        else:
            labels = None
            if FLAGS.label is not None:
                labels = np.full([FLAGS.num_samples], FLAGS.label, np.int32)
            options |= dict(labels=labels, workers=Workers(strategy), decoder=decoder)
            write_samples(model, FLAGS.num_samples, **options)
    except ValueError as error:  # of the sampler, which names argument and value
        raise UserError(str(error)) from None


if __name__ == "__main__":
    define()
    run(main)
