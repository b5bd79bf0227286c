"""Samples from a run: `python -m train.sample --workdir=... --num_samples=16`.

With `--complete=top` (or `left`) that half of test images is given, and the rest is sampled. Of a
run with `--condition` images are given the condition of others: `--condition_images`, `--like`,
`--interpolate`.
"""

import math
import os

import numpy as np
from absl import flags

from train.config import config_json as configuration
from train.config.alpha import define_alpha
from train.config.pretrained import write_to
from train.errors import UserError, run, writing
from train.files import make_writable_folder
from train.quiet import start_tensorflow

FLAGS = flags.FLAGS
ENDINGS = (".png", ".npz")  # of the files that are written
# Flags that make another request -> how they show in the default name of the files.
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
    define_alpha()
    flags.DEFINE_string(
        "condition_images",
        "",
        "of a run with --condition: what to draw images given: a folder, file, .npz or data set of "
        "grey or small images, or of whole ones to make such, or vectors, of; default: test images",
    )
    flags.DEFINE_string(
        "like",
        "",
        "of a run with --condition=embedding:...: an image; draws images given its vector",
    )
    flags.DEFINE_string(
        "interpolate",
        "",
        "of such a run: two images, a.png,b.png; draws rows of images given the vectors on the "
        "line between theirs, --num_completions rows, each of one noise",
    )
    flags.DEFINE_integer("steps", 9, "images of a row of --interpolate")
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
    given = ("complete", "condition_images", "like", "interpolate")
    used = [f"--{name}={FLAGS[name].value}" for name in given if FLAGS[name].value]
    if len(used) > 1:
        raise UserError(f"{' and '.join(used)}: use only one of them")
    if FLAGS.alpha and not (FLAGS.condition_images or FLAGS.like or FLAGS.interpolate):
        raise UserError(
            f"--alpha={FLAGS.alpha}: is for the images of --condition_images, --like, --interpolate"
        )
    if FLAGS.interpolate and len(_ends()) != 2:
        raise UserError(f"--interpolate={FLAGS.interpolate}: must be two images, a.png,b.png")
    if FLAGS.steps < 2:
        raise UserError(f"--steps={FLAGS.steps}: must be at least 2")
    for name, other in (("num_samples", "interpolate"), ("num_completions", "like")):
        if FLAGS[name].present and FLAGS[other].value:
            raise UserError(f"--{name}={FLAGS[name].value}: has no meaning with --{other}")
    if FLAGS["steps"].present and not FLAGS.interpolate:
        raise UserError(f"--steps={FLAGS.steps}: is for --interpolate")
    if FLAGS.complete and (FLAGS.height or FLAGS.width):
        raise UserError("--height, --width: --complete takes test images, of the size they have")


def _ends():
    """The two images of `--interpolate`, as they are named."""
    return [part for part in FLAGS.interpolate.split(",") if part]


def _sources():
    """What the images of the flags are, whole, where the name of the files is short."""
    named = [*filter(None, [FLAGS.condition_images, FLAGS.like]), *_ends()]
    paths = [os.path.abspath(each) if os.path.exists(each) else each for each in named]
    return f", given {' and '.join(paths)}" if paths else ""


def _short(path):
    """A file's name, without folder and ending, or a data set's, for the name of another file."""
    return os.path.splitext(os.path.basename(path.rstrip("/")))[0].replace(":", "_")


def default_name(step: int) -> str:
    """The name of the files, without ending: another request gets another name."""
    parts = ["completion" if FLAGS.complete else "sample", f"{step:07d}"]
    parts += [FLAGS.complete] if FLAGS.complete else []
    if FLAGS.condition_images:
        parts.append("given_" + os.path.basename(FLAGS.condition_images.rstrip("/")))
    if FLAGS.like:
        parts.append("like_" + _short(FLAGS.like))
    if FLAGS.interpolate:
        parts += ["between", *map(_short, _ends())]
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


def _read(model, flag, what, number):
    """The conditions of the images that a flag names."""
    from train.data.image_sources import open_images
    from train.sampling.conditioned import read_conditions

    saved = configuration.load(FLAGS.workdir)
    images = open_images(flag, what, FLAGS.data_dir or saved.config.data_dir, alpha=FLAGS.alpha)
    return read_conditions(model, images, saved, number)


def _read_one(model, flag, what):
    """That of one image."""
    given = _read(model, flag, what, 2)
    if len(given.conditions) > 1:
        raise UserError(f"--{flag}={FLAGS[flag].value}: {what} has several images, give one")
    return given


def _write_conditioned(model, config, options):
    """Images given conditions."""
    from train.run.data import load_data
    from train.sampling import conditioned

    number = FLAGS.num_samples
    if FLAGS.like:
        given = _read_one(model, "like", FLAGS.like)
        conditioned.write_like(model, given, number, **options)
    elif FLAGS.interpolate:
        ends = [_read_one(model, "interpolate", end) for end in _ends()]
        given = conditioned.Given(*map(np.concatenate, zip(*ends, strict=True)))
        rows = FLAGS.num_completions
        conditioned.write_interpolation(model, given, FLAGS.steps, rows, **options)
    else:
        if FLAGS.condition_images:
            given = _read(model, "condition_images", FLAGS.condition_images, number)
        else:
            given = conditioned.test_conditions(model, load_data(config, FLAGS.data_dir), number)
        conditioned.write_conditioned(model, given, FLAGS.num_completions, **options)


def _check_condition(model):
    """Raises UserError for what does not go with the run's condition."""
    named = {name: FLAGS[name].value for name in ("condition_images", "like", "interpolate")}
    named = {name: value for name, value in named.items() if value}
    for name, value in named.items():
        if model.condition is None:
            raise UserError(f"--{name}={value}: the run has no --condition of images")
        if model.encoder is None and name != "condition_images":
            raise UserError(
                f"--{name}={value}: is for a run with --condition=embedding:..., this one has "
                f"--condition={model.condition.name}"
            )
    if FLAGS["num_completions"].present and model.condition is None and not FLAGS.complete:
        raise UserError(
            f"--num_completions={FLAGS.num_completions}: is for --complete, and for runs with a "
            "--condition"
        )
    if model.condition is not None and not named and (FLAGS.height or FLAGS.width):
        raise UserError("--height, --width: need --condition_images of that size")


def main(_) -> None:
    check_flags()
    start_tensorflow()
    from train.devices import Workers, make_strategy
    from train.run.codes import load_vq_vae, to_size
    from train.run.data import load_data
    from train.run.restore import load_run, require_samples
    from train.sampling.samples import write_completions, write_samples

    strategy = make_strategy(FLAGS.strategy, FLAGS.nr_gpu)
    found = load_run(FLAGS.workdir)
    config, model, step = found.config, found.model(FLAGS.averaged), found.step
    require_samples(model, FLAGS.workdir)
    model, vq_vae = to_size(model, load_vq_vae(config), FLAGS.height, FLAGS.width)
    _check_condition(model)
    labels = None
    if FLAGS.label is not None:
        if model.num_classes is None:
            raise UserError(f"--label={FLAGS.label}: the model is not class-conditional")
        if not 0 <= FLAGS.label < model.num_classes:
            raise UserError(f"--label={FLAGS.label}: must be from 0 to {model.num_classes - 1}")
        labels = np.broadcast_to(np.int32(FLAGS.label), [FLAGS.num_samples])
    name = default_name(step)
    path = choose_path(FLAGS.output, write_to(FLAGS.workdir), name)
    request = f"{name} of {FLAGS.workdir}{_sources()}"
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
            _write_conditioned(model, config, options)
        else:
            workers = Workers(strategy)
            write_samples(model, FLAGS.num_samples, labels=labels, workers=workers, **options)
    except ValueError as error:  # of the sampler, which names argument and value
        raise UserError(str(error)) from None


if __name__ == "__main__":
    define()
    run(main)
