"""Draws the curve of a run: `python -m train.plot --workdir=... --output=curve.png`."""

import os

from absl import flags as absl_flags

from train import flags
from train.command import run
from train.errors import ArgumentError, writing
from train.files import atomic_write, make_writable_folder
from train.run import Run

FLAGS = absl_flags.FLAGS
CURVES = {  # name in metrics.jsonl -> label
    "train/{}": "train, with dropout",
    "test/{}_raw": "test, raw weights",
    "test/{}": "test, averaged weights",
    "validation/{}_raw": "validation, raw weights",
    "validation/{}": "validation, averaged weights",
}
METRICS = {
    "bits_per_dim": "bits/dim",
    "energy_distance": "energy distance",
    "mse": "mean squared error of values in [0, 1]",
}


def define() -> None:
    flags.define("workdir", output="figure to write; default: curve.png in the workdir")
    absl_flags.DEFINE_string("title", "", "title of the figure; default: the workdir")


def plot(opened: Run, output: str = "", title: str = "") -> str:
    """Draws the training and test scores of a run over its steps.

    Args:
      opened: the run.
      output: the figure to write; default: curve.png in the workdir.
      title: of the figure; default: the workdir.

    Returns:
      The path of the figure.

    Raises:
      UserError: if the run has no scores, or the figure cannot be written.
    """
    from matplotlib.figure import Figure

    rows = opened.metrics()
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for metric, unit in METRICS.items():
        for key, label in CURVES.items():
            name = key.format(metric)
            points = [(row["step"], row[name]) for row in rows if name in row]
            if points:
                marker = "" if key.startswith("train") else "o"
                axes.plot(*zip(*points, strict=True), label=label, marker=marker)
                axes.set_ylabel(unit)
    if not axes.lines:
        raise ArgumentError("workdir", opened.workdir, "the run has no scores yet")
    axes.set_xlabel("step")
    axes.set_title(title or opened.workdir, parse_math=False)
    axes.grid(alpha=0.3)
    axes.legend()
    output = output or os.path.join(opened.output_folder, "curve.png")
    extension = os.path.splitext(output)[1].removeprefix(".").lower()
    allowed = sorted(figure.canvas.get_supported_filetypes())
    if extension not in allowed:
        raise ArgumentError("output", output, f"must end in one of .{', .'.join(allowed)}")
    with writing(f"--output={output}"):
        make_writable_folder(os.path.dirname(output))
        with atomic_write(output) as temporary:
            figure.savefig(temporary, dpi=120, format=extension)
    return output


def main(_) -> None:
    print(f"wrote {plot(Run.open(FLAGS.workdir), FLAGS.output, FLAGS.title)}")


if __name__ == "__main__":
    define()
    run(main)
