"""Adam and Muon, each with several learning rates and seeds: test scores and a figure.

    python experiments/optimizers/optimizers.py --dataset=digits --config=tiny --max_steps=920

Each run is one of `train.main`, kept in --runs; finished ones are not run again. The learning rates
are those of the hidden kernels: Adam's own, or Muon's with Adam's at --adam_beside_muon.
"""

import os
import subprocess
import sys

import numpy as np
from absl import app, flags
from matplotlib.figure import Figure

from train.run import Run

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", "digits", "data set")
flags.DEFINE_string("config", "tiny", "preset")
flags.DEFINE_string("data_dir", "", "where tfds data sets are")
flags.DEFINE_string("eval_split", "", "what is scored; default: the test split")
flags.DEFINE_string("train_split", "", "what is trained on; default: train")
flags.DEFINE_integer("max_steps", 920, "steps of each run", lower_bound=1)
flags.DEFINE_list("adam", ["0.001", "0.003", "0.006"], "learning rates of Adam")
flags.DEFINE_list("muon", ["0.01", "0.02", "0.04"], "learning rates of Muon")
flags.DEFINE_float("adam_beside_muon", 0.003, "learning rate of Adam in the runs of Muon")
flags.DEFINE_list("seeds", ["1", "2", "3"], "random seeds")
flags.DEFINE_list("others", [], "further flags of train.main, such as dropout_p=0.1")
flags.DEFINE_string("runs", "runs/optimizers", "folder of the runs")
flags.DEFINE_string("output", "optimizers.png", "figure to write")


def train(optimizer, rate, seed):
    """The finished run of one optimizer, learning rate and seed."""
    workdir = os.path.join(FLAGS.runs, f"{FLAGS.dataset}-{optimizer}-{rate}-{seed}")
    own = rate if optimizer == "adam" else FLAGS.adam_beside_muon
    values = dict(
        dataset=FLAGS.dataset,
        config=FLAGS.config,
        data_dir=FLAGS.data_dir,
        train_split=FLAGS.train_split,
        eval_split=FLAGS.eval_split,
        max_steps=FLAGS.max_steps,
        max_epochs=10**6,
        num_samples=0,
        optimizer=optimizer,
        learning_rate=own,
        seed=seed,
        workdir=workdir,
    )
    if optimizer == "muon":
        values["muon_learning_rate"] = rate
    command = [f"--{name}={value}" for name, value in values.items() if value != ""]
    command += [f"--{each}" for each in FLAGS.others]
    last = os.path.join(workdir, "checkpoints", f"step-{FLAGS.max_steps}.index")
    if not os.path.exists(last):
        subprocess.run(
            [sys.executable, "-m", "train.main", *command], check=True, stdout=subprocess.DEVNULL
        )
    return Run.open(workdir)


def curve(runs, name):
    """Steps, and the mean of a value over runs."""
    found = [{row["step"]: row[name] for row in run.metrics() if name in row} for run in runs]
    steps = sorted(set.intersection(*map(set, found)))
    return steps, np.mean([[each[step] for step in steps] for each in found], axis=0)


def main(_):
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    print("| optimizer | learning rate | averaged weights | raw weights |\n|---|---|---|---|")
    for optimizer, rates in (("adam", FLAGS.adam), ("muon", FLAGS.muon)):
        scored = []
        for rate in rates:
            runs = [train(optimizer, rate, seed) for seed in FLAGS.seeds]
            prefix = "validation" if FLAGS.eval_split == "validation" else "test"
            cells = []
            for ending in ("", "_raw"):
                name = f"{prefix}/bits_per_dim{ending}"
                last = [[row[name] for row in run.metrics() if name in row][-1] for run in runs]
                spread = f" +- {np.std(last, ddof=1):.4f}" if len(last) > 1 else ""
                cells.append(f"{np.mean(last):.4f}{spread}")
                if not ending:
                    scored.append((np.mean(last), rate, runs))
            print(f"| {optimizer} | {rate} | {' | '.join(cells)} |", flush=True)
        _, rate, runs = min(scored, key=lambda each: each[0])
        steps, values = curve(runs, f"{prefix}/bits_per_dim")
        axes.plot(steps, values, marker="o", label=f"{optimizer}, learning rate {rate}")
    axes.set_xlabel("step")
    axes.set_ylabel(f"bits/dim, averaged weights, mean of {len(FLAGS.seeds)} seeds")
    axes.set_title(f"{FLAGS.dataset}, {FLAGS.config}: each optimizer with its best rate")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(FLAGS.output, dpi=120)
    print(f"wrote {FLAGS.output}")


if __name__ == "__main__":
    app.run(main)
