"""Trains the family on binarised MNIST, and draws the figures of docs/results.md.

    python experiments/pretrained/binarized_mnist.py --data_dir=<prepared tfds data> --only=row_lstm
    python experiments/pretrained/binarized_mnist.py --draw

The first command trains the models that are not finished in `--runs`, and resumes if it is rerun.
Settings are chosen on the 10,000 validation images; `train.pack` scores each run on the test split
once. The second command reads only the packed runs. PixelCNN++ was trained on a GPU, see NOTES.md
and experiments/accelerator.
"""

import json
import os
import statistics
import subprocess
import sys

from absl import app, flags
from matplotlib.figure import Figure

from pixelcnn_tf import pretrained
from pixelcnn_tf.grid import grid, to_uint8
from pixelcnn_tf.levels import input_to_levels
from train.run.metrics import read


def run(command, **arguments):
    """`python -m train.<command>` with flags, printed first."""
    given = [f"--{name}={value}" for name, value in arguments.items()]
    print(f"python -m train.{command}", *given, flush=True)
    subprocess.run([sys.executable, "-m", f"train.{command}", *given], check=True)


FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", "", "where the tfds data sets are")
flags.DEFINE_string("runs", "runs/binarized_mnist", "folder of the runs")
flags.DEFINE_string("output", "docs/images", "folder of the figures")
flags.DEFINE_list("only", [], "which models to train; default: all, one after the other")
flags.DEFINE_bool("draw", False, "draw the figures of the packed runs, train nothing")

COMMON = dict(
    dataset="binarized_mnist",
    eval_split="validation",
    config="tiny",
    dtype="mixed_bfloat16",
    batch_size=64,
    polyak_decay=0.999,
    save_interval=4,
    eval_interval=2,
    checkpoint_interval=200,
)
# The learning rate ends near a fortieth of where it began.
MODELS = {
    "gated_pixelcnn": dict(
        nr_resnet=10, nr_filters=32, num_head_filters=64, lr_decay=0.9996, max_epochs=12
    ),
    # Of as many images, batches of 16, which the paper takes, teach it more than those of 64. It
    # flattens before the 18 epochs are over; the rest is distil.py's.
    "pixelcnn": dict(
        nr_resnet=15,
        nr_filters=48,
        num_head_filters=64,
        batch_size=16,
        learning_rate=0.001,
        lr_decay=0.999934,
        max_epochs=18,
        max_steps=27_368,
        log_interval=200,  # a longer log would not fit into the box
    ),
    "row_lstm": dict(
        nr_resnet=3, nr_filters=48, num_head_filters=64, lr_decay=0.99952, max_epochs=10
    ),
    "diagonal_bilstm": dict(
        nr_resnet=2, nr_filters=32, num_head_filters=64, lr_decay=0.99932, max_epochs=7
    ),
}
PACKED = {  # name of the packed run -> its model, for the legend
    "binarized_mnist": "PixelCNN++",
    "binarized_mnist_gated_pixelcnn": "Gated PixelCNN",
    "binarized_mnist_pixelcnn": "PixelCNN, distilled",
    "binarized_mnist_row_lstm": "Row LSTM",
    "binarized_mnist_diagonal_bilstm": "Diagonal BiLSTM",
}
# Images a second on 2 cores of what was trained on a GPU, for its place among the curves of the
# others: steps 9 to 12 of the command in its card with --max_steps=12 --log_interval=4.
CPU_SPEED = {"binarized_mnist": 39.4}
# Trained under `taskset -c 0`.
ONE_CORE = {"binarized_mnist_row_lstm", "binarized_mnist_diagonal_bilstm"}
SCORE = "validation/loss_per_image"
HOURS = (0.3, 1, 3, 10, 30)  # marked on the axis
NUM_SAMPLES = 25
SEED = 1


def train(model):
    """Trains one model, or goes on with it."""
    arguments = COMMON | {"model": model, **MODELS[model]}
    arguments |= {"data_dir": FLAGS.data_dir, "workdir": os.path.join(FLAGS.runs, model)}
    run("main", **arguments)


def curve(name):
    """`(hours, nats)` of the validation split: the hours that so many images take at the median
    speed of the run's log, or at `CPU_SPEED`, evaluations left out."""
    folder = pretrained.folder_of(name)
    rows = read(os.path.join(folder, "metrics.jsonl"))
    speeds = [row["images_per_sec"] for row in rows if "images_per_sec" in row]
    with open(os.path.join(folder, "config.json")) as file:
        batch_size = json.load(file)["batch_size"]
    seconds_a_step = batch_size / CPU_SPEED.get(name, statistics.median(speeds))
    points = [(row["step"], row[SCORE]) for row in rows if SCORE in row]
    return [(step * seconds_a_step / 3600, nats) for step, nats in points]


def draw_curves(names):
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in names:
        computed = name in CPU_SPEED
        how = " (on a GPU; hours computed)" * computed + " (one core)" * (name in ONE_CORE)
        style = "--" if computed else "-"
        axes.plot(*zip(*curve(name), strict=True), style, marker="o", label=PACKED[name] + how)
    axes.set_xscale("log")
    axes.set_xticks(HOURS, labels=map(str, HOURS))
    axes.set_xlabel("hours of training, 2 CPU cores")
    axes.set_ylabel("nats/image, validation")
    axes.set_ylim(top=90)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def draw_samples(names):
    figure = Figure(figsize=(3 * len(names), 3.3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        model = pretrained.load(name)
        levels = input_to_levels(model.sample(NUM_SAMPLES, seed=SEED), model.num_levels).numpy()
        axes.imshow(grid(to_uint8(levels, model.num_levels)).squeeze(), cmap="gray")
        axes.set_title(PACKED[name])
        axes.axis("off")
    return figure


def main(_):
    unknown = set(FLAGS.only) - set(MODELS)
    if unknown:
        raise app.UsageError(f"--only={','.join(unknown)}: must be of {', '.join(MODELS)}")
    if not FLAGS.draw:
        for model in FLAGS.only or MODELS:
            train(model)
        return
    names = [name for name in PACKED if name in pretrained.names()]
    if not names:
        raise app.UsageError(f"--draw: none of {', '.join(PACKED)} is packed yet")
    for draw, file in ((draw_curves, "curves"), (draw_samples, "samples")):
        path = os.path.join(FLAGS.output, f"results_binarized_mnist_{file}.png")
        draw(names).savefig(path, dpi=90)
        print(f"wrote {path}", flush=True)


if __name__ == "__main__":
    app.run(main)
