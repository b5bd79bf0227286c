"""Scores one's own images: `python -m train.score --workdir=... --images=photos`.

Writes the exact log-likelihood of each image as a row of a CSV file, draws heat maps of bits a
pixel (`--maps`), and tells how well images are told from a `--reference`.
"""

import os
import sys
import tempfile

from absl import flags

from train.config import config_json as configuration
from train.config.alpha import define_alpha
from train.config.pretrained import write_to
from train.errors import UserError, run, writing
from train.files import make_writable_folder
from train.quiet import start_tensorflow

FLAGS = flags.FLAGS
# Flags that make another table -> how they show in its default name.
IN_NAME = {
    "num_images": "n{}",
    "label": "label{}",
    "alpha": "{}",
    "averaged": "raw",
    "complexity": "complexity",
}
QUANTILES = (0, 5, 25, 50, 75, 95, 100)  # per cent
SOURCE = (
    "a folder (with all below it), an image file, an .npz with images, x_test or x_train, or a "
    "data set's split such as mnist:test"
)


def define() -> None:
    flags.DEFINE_string("workdir", "", "folder of the run")
    flags.DEFINE_string("images", "", f"what to score: {SOURCE}")
    flags.DEFINE_string("reference", "", f"images known to be of the run's kind: {SOURCE}")
    define_alpha()
    flags.DEFINE_string("data_dir", "", "where tfds data sets are, if elsewhere than in training")
    flags.DEFINE_integer("num_images", 0, "take so many of each source, the first; 0: all")
    flags.DEFINE_string("background", "", "folder of a second run, for the likelihood ratio")
    flags.DEFINE_bool("complexity", False, "add the columns of the input complexity")
    flags.DEFINE_string(
        "output", "", "table to write, .csv; default: <images>_<step>.csv in <workdir>/scores"
    )
    flags.DEFINE_string("maps", "", "folder for heat maps of bits a pixel, one picture an image")
    flags.DEFINE_string(
        "histogram", "", "picture to write, with --reference; default: as --output, but .png"
    )
    flags.DEFINE_integer("label", None, "class of all images (class-conditional models)")
    flags.DEFINE_integer(
        "batch_size", 0, "images a batch, fewer of larger ones than trained on; 0: as in training"
    )
    flags.DEFINE_bool("averaged", True, "use the averaged weights, not the raw ones")


def check_flags() -> list[configuration.Saved]:
    """The `config.json` of the run, and of the background run where there is one.

    Raises UserError for what is wrong whatever the images are.
    """
    saved = [configuration.require_run(FLAGS.workdir)]
    if not FLAGS.images:
        raise UserError(f"--images is missing: {SOURCE}")
    for name in ("batch_size", "num_images"):
        if FLAGS[name].value < 0:
            raise UserError(f"--{name}={FLAGS[name].value}: must be at least 0")
    if FLAGS.output and not FLAGS.output.lower().endswith(".csv"):
        raise UserError(f"--output={FLAGS.output}: must end in .csv")
    if FLAGS.histogram and not FLAGS.reference:
        raise UserError(f"--histogram={FLAGS.histogram}: needs --reference to compare with")
    if FLAGS.background:
        saved.append(_find_background(saved[0]))
    if FLAGS.label is not None and not any(each.config.class_conditional for each in saved):
        raise UserError(f"--label={FLAGS.label}: the model is not class-conditional")
    return saved


def _find_background(saved):
    """The second run. Raises UserError unless it scores the same images as the first."""
    flag = f"--background={FLAGS.background}"
    if os.path.realpath(FLAGS.background) == os.path.realpath(FLAGS.workdir):
        raise UserError(
            f"{flag}: is the run of --workdir itself; every likelihood ratio would be 0"
        )
    try:
        other = configuration.load(FLAGS.background)
    except UserError as error:
        raise UserError(str(error).replace("--workdir=", "--background=")) from None
    for what, here, there in (
        ("levels", saved.data.num_levels, other.data.num_levels),
        ("channels", saved.data.image_shape[-1], other.data.image_shape[-1]),
    ):
        if here != there:
            raise UserError(f"{flag}: knows images of {there} {what}, --workdir of {here}")
    return other


def _refuse_unwritable(flag, path):
    """Raises UserError if no file can be written at `path`, before the work."""
    with writing(flag):
        if os.path.isdir(path):
            raise IsADirectoryError(None, "it is a folder")
        with tempfile.TemporaryFile(dir=os.path.dirname(path) or "."):
            pass


def _refuse_among(flag, path, sources):
    """Raises UserError if a picture at `path` would lie among the images, or be one of them."""
    from train.data.image_sources import SPLIT

    path = os.path.realpath(path)
    for images in sources:
        named = os.path.expanduser(images.flag.partition("=")[2])
        split = SPLIT.fullmatch(named)  # folder:photos:test
        named = os.path.realpath((split[1] if split else named).removeprefix("folder:"))
        if path == named or (os.path.isdir(named) and path.startswith(named + os.sep)):
            raise UserError(f"{flag}: the histogram would lie among the images; use another")


def check_outputs(sources) -> None:
    """Makes the folder of the maps. Raises UserError for an output that cannot be written, before
    the work.

    Args:
      sources: several `train.data.image_sources.Images`, which no picture may overwrite; the maps
        are of the first.
    """
    from train.scoring.figures import picture_endings

    images = sources[0]
    if FLAGS.output:
        _refuse_unwritable(f"--output={FLAGS.output}", FLAGS.output)
    if FLAGS.histogram:
        flag, endings = f"--histogram={FLAGS.histogram}", picture_endings()
        if os.path.splitext(FLAGS.histogram)[1].removeprefix(".").lower() not in endings:
            raise UserError(f"{flag}: must end in one of .{', .'.join(endings)}")
        _refuse_unwritable(flag, FLAGS.histogram)
        _refuse_among(flag, FLAGS.histogram, sources)
    elif FLAGS.reference and FLAGS.output:
        _refuse_among(f"--output={FLAGS.output}", _histogram_beside(FLAGS.output), sources)
    if not FLAGS.maps:
        return
    flag = f"--maps={FLAGS.maps}"
    if images.folder is not None:
        maps, folder = os.path.realpath(FLAGS.maps), os.path.realpath(images.folder)
        inside = os.path.commonpath([maps, folder]) == folder
        if maps == folder or (inside and os.path.isdir(FLAGS.images)):
            raise UserError(f"{flag}: lies in the folder of the images; use another")
    with writing(flag):
        make_writable_folder(FLAGS.maps)


def _histogram_beside(table):
    return os.path.splitext(table)[0] + ".png"


def _in_name(images):
    """How a flag that names images shows in the name of a file."""
    parts = images.removesuffix(".npz").replace(":", "/").split("/")
    return "_".join(part for part in parts if part.strip(".")) or "images"


def choose_output(step: int) -> str:
    """Where the table goes; by default into the run's folder, which is made."""
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
    folder = os.path.join(write_to(FLAGS.workdir), "scores")
    with writing(folder):
        make_writable_folder(folder)
    return os.path.join(folder, f"{'_'.join(parts)}_{step:07d}.csv")


def _load(flag, workdir):
    """`(model, step)` of a run, which must have a likelihood."""
    from train.run.restore import load_run

    try:
        found = load_run(workdir)
    except UserError as error:
        raise UserError(str(error).replace("--workdir=", f"--{flag}=")) from None
    model = found.model(FLAGS.averaged)
    if not model.likelihood.has_log_prob:
        raise UserError(
            f"--{flag}={workdir}: the run was trained for the {model.likelihood.metric}, which "
            "gives no likelihood to score images by"
        )
    return model, found.step


def _tell(title, scores):
    """Prints mean and quantiles of every column."""
    import numpy as np

    print(f"{title}\n{'':22}{'mean':>12}" + "".join(f"{f'{q} %':>12}" for q in QUANTILES))
    columns = ("log_prob_nats", "bits_per_dim", "likelihood_ratio_nats")
    for column in (*columns, "complexity_bits", "complexity_score"):
        if getattr(scores[0], column) is not None:
            values = [getattr(score, column) for score in scores]
            numbers = [np.mean(values), *np.percentile(values, QUANTILES)]
            print(f"{column:22}" + "".join(f"{number:12.7g}" for number in numbers))


def _compare(scores, reference, names, histogram):
    """Prints how well the images are told from the reference, and draws the histograms."""
    import numpy as np

    from train.scoring.detection import TPR, detect
    from train.scoring.figures import write_histogram

    def per_dim(column):
        both = [[getattr(s, column) / s.dims for s in each] for each in (scores, reference)]
        return [np.array(each) for each in both]

    bits = [np.array([score.bits_per_dim for score in each]) for each in (scores, reference)]
    # by -> (label of the axis, sign: then higher is less like the reference, both's values)
    measures = {"likelihood": ("bits/dim", 1, bits)}
    if FLAGS.background:
        measures["ratio"] = ("likelihood ratio, nats/dim", -1, per_dim("likelihood_ratio_nats"))
    measures["complexity"] = ("bits/dim minus complexity", 1, per_dim("complexity_score"))
    print(
        f"{names[0]} ({len(scores):,}) told from {names[1]} ({len(reference):,}); AUROC 0.5 is "
        f"chance\n{'by':12}{'AUROC':>8}  FPR at {TPR:.0%} TPR"
    )
    for by, (_, sign, both) in measures.items():
        auroc, fpr = detect(*(sign * values for values in both))
        print(f"{by:12}{auroc:8.4f}{fpr:10.4f}")
    with writing(f"--histogram={histogram}"):
        write_histogram(histogram, {axis: both for axis, _, both in measures.values()}, names)
    print(f"wrote {histogram}")


def main(_) -> None:
    saved = check_flags()
    start_tensorflow()
    from train.data.image_adapter import Fit
    from train.data.image_sources import open_images
    from train.progress import Counter
    from train.scoring.figures import map_path, write_map
    from train.scoring.scores import Scorer, score, write_csv

    fits = [Fit(each, FLAGS.label) for each in saved]
    data_dir = FLAGS.data_dir or saved[0].config.data_dir
    wanted = {"images": FLAGS.images, "reference": FLAGS.reference}
    sources = [
        open_images(flag, what, data_dir, FLAGS.num_images, FLAGS.alpha)
        for flag, what in wanted.items()
        if what
    ]
    for source in sources:
        for fit in fits:
            fit.check_source(source)
    check_outputs(sources)
    model, step = _load("workdir", FLAGS.workdir)
    scorer, background = Scorer(model), None
    if FLAGS.background:
        background = Scorer(_load("background", FLAGS.background)[0])
    output = choose_output(step)
    histogram = FLAGS.histogram or _histogram_beside(output)
    weights = "averaged" if FLAGS.averaged else "raw"
    print(f"{FLAGS.workdir}, step {step}, {weights} weights", flush=True)

    def fitted(source):
        for image in source.read():
            for fit in fits:
                image = fit(image, source.flag)
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
                    fitted(source),
                    scorer,
                    FLAGS.batch_size or saved[0].config.batch_size,
                    background,
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
        _tell(f"{source.about}: {source.count:,} images", tables[-1])
    for what, number in fits[0].done.items():
        print(f"{number:,} images {what}")
    print(f"wrote {output}" + (f"; heat maps in {FLAGS.maps}" if FLAGS.maps else ""))
    if FLAGS.reference:
        _compare(*tables, tuple(source.about for source in sources), histogram)


if __name__ == "__main__":
    define()
    run(main)
