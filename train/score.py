"""Scores your own images: `python -m train.score --workdir=... --images=photos`.

Writes the exact log-likelihood of each image as a row of a CSV file, draws bits-per-pixel maps
(`--maps`), and measures how well images can be distinguished from a `--reference`.
"""

import os
import sys

from absl import flags as absl_flags

from train import flags
from train.command import run, start_tensorflow
from train.errors import ArgumentError, errors_about, writing
from train.files import check_writable_file, make_writable_folder
from train.run import Run

FLAGS = absl_flags.FLAGS
# Flags that make another table -> how they appear in its default name.
IN_NAME = {
    "num_images": "n{}",
    "label": "label{}",
    "alpha": "{}",
    "averaged": "raw",
    "complexity": "complexity",
}


def define() -> None:
    flags.define("workdir", "averaged", "images", "num_images", "alpha", "label", "data_dir")
    flags.define(
        output="table to write, .csv; default: <images>_<step>.csv in <workdir>/scores",
        batch_size="images per batch, fewer if they are larger than the training images; 0: as in "
        "training",
    )
    text = absl_flags.DEFINE_string
    text("reference", "", "images known to be in-distribution, given as --images are")
    text("background", "", "a second run, for the likelihood ratio")
    absl_flags.DEFINE_bool("complexity", False, "add the columns of the input complexity")
    text("maps", "", "folder for bits-per-pixel maps, one file per image")
    text("histogram", "", "figure to write, with --reference; default: as --output, but .png")


def check_flags() -> list[Run]:
    """The run, and the background run if there is one.

    Raises ArgumentError for what is wrong whatever the images are.
    """
    runs = [Run.open(FLAGS.workdir)]
    if not FLAGS.images:
        raise ArgumentError("images", None, "is missing: what to score")
    if FLAGS.output and not FLAGS.output.lower().endswith(".csv"):
        raise ArgumentError("output", FLAGS.output, "must end in .csv")
    if FLAGS.histogram and not FLAGS.reference:
        raise ArgumentError("histogram", FLAGS.histogram, "needs --reference to compare with")
    if FLAGS.background:
        runs.append(_open_background(runs[0]))
    if FLAGS.label is not None and not any(each.config.class_conditional for each in runs):
        raise ArgumentError("label", FLAGS.label, "the model is not class-conditional")
    return runs


def _open_background(opened):
    """The second run. Raises ArgumentError unless it scores the same images as the first."""
    argument = "background", FLAGS.background
    if os.path.realpath(FLAGS.background) == os.path.realpath(FLAGS.workdir):
        text = "is the run of --workdir itself: every likelihood ratio would be 0"
        raise ArgumentError(*argument, text)
    with errors_about("background"):
        other = Run.open(FLAGS.background)
    for what, here, there in (
        ("levels", opened.data.num_levels, other.data.num_levels),
        ("channels", opened.data.image_shape[-1], other.data.image_shape[-1]),
    ):
        if here != there:
            text = f"models images of {there} {what}, but the run of --workdir {here}"
            raise ArgumentError(*argument, text)
    return other


def check_outputs(sources) -> None:
    """Makes the folder of the maps. Raises UserError for an output that cannot be written, or that
    would lie among the images, before the work.

    Args:
      sources: several `train.data.image_sources.Images`; the maps are of the first.
    """
    from train.scoring.figures import figure_extensions

    if FLAGS.output:
        check_writable_file("output", FLAGS.output)
    if FLAGS.histogram:
        extensions = figure_extensions()
        if os.path.splitext(FLAGS.histogram)[1].removeprefix(".").lower() not in extensions:
            text = f"must end in one of .{', .'.join(extensions)}"
            raise ArgumentError("histogram", FLAGS.histogram, text)
        check_writable_file("histogram", FLAGS.histogram)
        _check_not_among("histogram", FLAGS.histogram, sources)
    elif FLAGS.reference and FLAGS.output:
        _check_not_among("output", _histogram_beside(FLAGS.output), sources)
    if not FLAGS.maps:
        return
    folder = sources[0].folder
    if folder is not None:
        maps, folder = os.path.realpath(FLAGS.maps), os.path.realpath(folder)
        inside = os.path.commonpath([maps, folder]) == folder
        if maps == folder or (inside and os.path.isdir(FLAGS.images)):
            raise ArgumentError("maps", FLAGS.maps, "is in the folder of the images; use another")
    with writing(f"--maps={FLAGS.maps}"):
        make_writable_folder(FLAGS.maps)


def _check_not_among(argument, path, sources):
    """Raises ArgumentError if a figure at `path` would lie among the images."""
    from train.data.image_sources import SPLIT

    value, path = path, os.path.realpath(path)
    for images in sources:
        named = os.path.expanduser(images.flag.partition("=")[2])
        split = SPLIT.fullmatch(named)  # folder:photos:test
        named = os.path.realpath((split[1] if split else named).removeprefix("folder:"))
        if path == named or (os.path.isdir(named) and path.startswith(named + os.sep)):
            text = "the histogram would be written among the images; use another folder"
            raise ArgumentError(argument, value, text)


def _histogram_beside(table):
    return os.path.splitext(table)[0] + ".png"


def _in_name(images):
    """How a flag that names images appears in the name of a file."""
    parts = images.removesuffix(".npz").replace(":", "/").split("/")
    return "_".join(part for part in parts if part.strip(".")) or "images"


def choose_output(opened: Run) -> str:
    """Where the table goes; by default a folder of the run's outputs, which is made."""
    if FLAGS.output:
        return FLAGS.output
    parts = [_in_name(FLAGS.images)]
    if FLAGS.background:
        parts.append("background_" + os.path.basename(os.path.normpath(FLAGS.background)))
    if FLAGS.reference:
        parts.append("reference_" + _in_name(FLAGS.reference))
    for flag, text in IN_NAME.items():
        if FLAGS[flag].value != FLAGS[flag].default:
            parts.append(text.format(FLAGS[flag].value))
    folder = os.path.join(opened.output_folder, "scores")
    with writing(folder):
        make_writable_folder(folder)
    return os.path.join(folder, f"{'_'.join(parts)}_{opened.step:07d}.csv")


def _load_models(runs):
    """The models of the runs, which must have a likelihood."""
    from train.run.models import check_has_likelihood

    models = []
    for argument, opened in zip(("workdir", "background"), runs, strict=False):
        with errors_about(argument):
            models.append(opened.model(FLAGS.averaged))
        check_has_likelihood(models[-1], argument, opened.workdir)
    return models


def main(_) -> None:
    runs = check_flags()
    start_tensorflow()
    from train.data.image_sources import open_images
    from train.progress import Counter
    from train.run.image_adapter import ImageAdapter
    from train.scoring.figures import map_path, write_map
    from train.scoring.scores import Scorer, score, write_csv
    from train.scoring.summary import compare, print_summary

    opened = runs[0]
    adapters = [ImageAdapter(each, FLAGS.label) for each in runs]
    data_dir = FLAGS.data_dir or opened.config.data_dir
    sources = [
        open_images(flag, FLAGS[flag].value, data_dir, FLAGS.num_images, FLAGS.alpha)
        for flag in ("images", "reference")
        if FLAGS[flag].value
    ]
    for source in sources:
        for adapt in adapters:
            adapt.check_source(source)
    check_outputs(sources)
    scorer, *background = map(Scorer, _load_models(runs))
    output = choose_output(opened)
    weights = "averaged" if FLAGS.averaged else "raw"
    print(f"{opened.workdir}, step {opened.step}, {weights} weights", flush=True)

    def adapted(source):
        for image in source.read():
            for adapt in adapters:
                image = adapt(image, source.flag)
            yield image

    def draw(image, row, bits):
        path = map_path(FLAGS.maps, image.name)
        with writing(f"--maps={FLAGS.maps}"):
            write_map(path, image, bits, f"{image.name}: {row.bits_per_dim:.3f} bits/dim")

    tables = []
    for source in sources:
        counter = Counter(("scored", "images"), source.count, sys.stderr)
        is_first = source is sources[0]
        try:
            tables.append(
                score(
                    adapted(source),
                    scorer,
                    FLAGS.batch_size or opened.config.batch_size,
                    background[0] if background else None,
                    complexity=FLAGS.complexity or bool(FLAGS.reference),
                    each=draw if FLAGS.maps and is_first else None,
                    advance=counter.advance,
                )
            )
        finally:
            counter.close()
        if is_first:
            with writing(f"--output={output}"):
                write_csv(output, tables[0])
        print_summary(f"{source.about}: {source.count:,} images", tables[-1])
    for what, number in adapters[0].conversions.items():
        print(f"{number:,} images {what}")
    print(f"wrote {output}" + (f"; bits-per-pixel maps in {FLAGS.maps}" if FLAGS.maps else ""))
    if FLAGS.reference:
        histogram = FLAGS.histogram or _histogram_beside(output)
        with writing(f"--histogram={histogram}"):
            compare(*tables, tuple(source.about for source in sources), histogram)
        print(f"wrote {histogram}")


if __name__ == "__main__":
    define()
    run(main)
