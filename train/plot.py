"""Draws the curve of a run: `python -m train.plot --workdir=... --output=curve.png`."""

import os

from absl import flags

from train.command import run
from train.config.pretrained import read_from, write_to
from train.errors import ArgumentError, UserError, writing
from train.files import atomic_write, make_writable_folder
from train.run.rows import read

FLAGS = flags.FLAGS
CURVES = (  # name in metrics.jsonl, label
    ("train/{}", "train, with dropout"),
    ("test/{}_raw", "test, raw weights"),
    ("test/{}", "test, averaged weights"),
    ("validation/{}_raw", "validation, raw weights"),
    ("validation/{}", "validation, averaged weights"),
)
METRICS = {"bits_per_dim": "bits/dim", "energy_distance": "energy distance"}
METRICS |= {"mse": "mean squared error, of a range of 1"}


def define() -> None:
    flags.DEFINE_string("workdir", "", "folder of the run")
    flags.DEFINE_string("output", "", "picture to write; default: curve.png in the workdir")
    flags.DEFINE_string("title", "", "title of the picture; default: the workdir")


def plot(workdir: str, output: str = "", title: str = "") -> str:
    """Draws the training and test scores of a run over its steps.

    Args:
      workdir: the run's folder.
      output: the picture to write; default: curve.png in the workdir.
      title: of the picture; default: the workdir.

    Returns:
      The path of the picture.

    Raises:
      UserError: if there is no such run, nothing to draw, or the picture cannot be written.
    """
    if not workdir:
        raise UserError("--workdir is missing: the folder of the run")
    path = os.path.join(read_from(workdir), "metrics.jsonl")
    if not os.path.exists(path):
        raise ArgumentError("workdir", workdir, "no run here (metrics.jsonl is missing)")
    from matplotlib.figure import Figure

    rows = read(path)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for metric, unit in METRICS.items():
        for key, label in CURVES:
            name = key.format(metric)
            points = [(row["step"], row[name]) for row in rows if name in row]
            if points:
                marker = "o" * ("train" not in key)
                axes.plot(*zip(*points, strict=True), label=label, marker=marker)
                axes.set_ylabel(unit)
    if not axes.lines:
        raise UserError(f"{path}: holds no scores yet, nothing to draw")
    axes.set_xlabel("step")
    axes.set_title(title or workdir, parse_math=False)
    axes.grid(alpha=0.3)
    axes.legend()
    folder = "" if output else write_to(workdir)
    output = output or os.path.join(folder, "curve.png")
    ending = os.path.splitext(output)[1].removeprefix(".").lower()
    allowed = sorted(figure.canvas.get_supported_filetypes())
    if ending not in allowed:
        raise ArgumentError("output", output, f"must end in one of .{', .'.join(allowed)}")
    with writing(f"--output={output}"):
        if folder:  # that of packed weights is not there yet
            make_writable_folder(folder)
        with atomic_write(output) as temporary:
            figure.savefig(temporary, dpi=120, format=ending)
    return output


def main(_) -> None:
    print(f"wrote {plot(FLAGS.workdir, FLAGS.output, FLAGS.title)}")


if __name__ == "__main__":
    define()
    run(main)
