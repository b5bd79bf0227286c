"""Draws the curve of a run: `python -m train.plot --workdir=... --output=curve.png`.

Needs matplotlib (extra `dev`).
"""

import os

from absl import flags

from train.errors import UserError, run
from train.workdir.metrics import read

FLAGS = flags.FLAGS


def define():
    flags.DEFINE_string("workdir", "", "folder of the run")
    flags.DEFINE_string("output", "", "picture to write; default: curve.png in the workdir")
    flags.DEFINE_string("title", "", "title of the picture; default: the workdir")


def main(_):
    path = os.path.join(FLAGS.workdir, "metrics.jsonl")
    if not FLAGS.workdir or not os.path.exists(path):
        raise UserError(f"--workdir={FLAGS.workdir}: no metrics.jsonl here")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("matplotlib is missing: pip install -e '.[dev]'") from None
    rows = read(path)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for key, label in (
        ("train/{}", "train, with dropout"),
        ("test/{}_raw", "test, raw parameters"),
        ("test/{}", "test, averaged parameters"),
    ):
        for metric in ("bits_per_dim", "energy_distance"):
            points = [(r["step"], r[key.format(metric)]) for r in rows if key.format(metric) in r]
            if points:
                axes.plot(
                    *zip(*points, strict=True), label=label, marker="o" if "test" in key else ""
                )
                axes.set_ylabel("bits/dim" if metric == "bits_per_dim" else metric)
    axes.set_xlabel("step")
    axes.set_title(FLAGS.title or FLAGS.workdir)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(FLAGS.output or os.path.join(FLAGS.workdir, "curve.png"), dpi=120)


if __name__ == "__main__":
    define()
    run(main)
