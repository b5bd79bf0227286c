"""Compares the models of the family; writes comparison.md and its figures.

    python experiments/comparison/comparison.py --data_dir=<prepared tfds data> --steps=250,100

Trains each model with `train.main` on the same images in the same order, for the same number of
steps, with about the same number of weights. Finished runs in `--runs` are not repeated.
"""

import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import tensorflow as tf
from absl import app, flags
from matplotlib.figure import Figure

from pixelcnn_tf import sampling
from pixelcnn_tf.grid import grid, to_uint8
from pixelcnn_tf.layers.masked_convolution import MaskedConv2D
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from train.data.load import load
from train.data.options import DataOptions
from train.run import Run
from train.run.metrics import read
from train.sampling.grid import write_npz
from train.scoring import published_scores as published


def run(command, **arguments):
    """`python -m train.<command>` with flags, printed first."""
    given = [f"--{name}={value}" for name, value in arguments.items()]
    print(f"python -m train.{command}", *given, flush=True)
    subprocess.run([sys.executable, "-m", f"train.{command}", *given], check=True)


FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", "", "where the tfds data sets are")
flags.DEFINE_string("runs", "runs/comparison", "folder of the runs")
flags.DEFINE_string("output", "runs/comparison", "folder of comparison.md and its figures")
flags.DEFINE_list("steps", ["250", "100"], "training steps of each model, for each of --tasks")
flags.DEFINE_integer("test_images", 2000, "number of test images")
flags.DEFINE_list("tasks", ["mnist", "cifar10"], "which comparisons")
flags.DEFINE_list("sample", ["mnist"], "of which comparisons to draw samples")

NAMES = {
    "pixelcnn": "PixelCNN",
    "gated_pixelcnn": "Gated PixelCNN",
    "row_lstm": "Row LSTM",
    "diagonal_bilstm": "Diagonal BiLSTM",
    "pixelcnn_pp": "PixelCNN++",
}
# (nr_resnet, nr_filters, num_head_filters or nr_logistic_mix): about as many weights that no
# mask hides in each.
TASKS = {
    "mnist": dict(
        title="MNIST, binarised (x >= 128)",
        num_levels=2,
        sizes={
            "pixelcnn": (15, 32, 32),
            "gated_pixelcnn": (6, 24, 32),
            "row_lstm": (5, 30, 32),
            "diagonal_bilstm": (4, 32, 32),
            "pixelcnn_pp": (1, 16, 3),
        },
        published="nats, published",
    ),
    "cifar10": dict(
        title="CIFAR-10",
        num_levels=0,
        sizes={
            "pixelcnn": (15, 36, 48),
            "gated_pixelcnn": (6, 24, 48),
            "row_lstm": (5, 33, 48),
            "diagonal_bilstm": (4, 36, 48),
            "pixelcnn_pp": (1, 18, 5),
        },
        published="bits/dim, published",
    ),
}


def _of_each_model(results):
    """Name -> published scores, of one or several sizes: `80.75 (1 layer), 79.20 (7 layers)`."""
    texts = {}
    for result in results:
        model, _, size = result.model.partition(", ")
        texts.setdefault(model, []).append(f"{result.score:.2f}" + (f" ({size})" if size else ""))
    return {model: ", ".join(each) for model, each in texts.items()}


# Of the papers' own, far larger, models, trained to the end.
PUBLISHED = {
    "mnist": _of_each_model(published.BINARIZED_MNIST),
    "cifar10": {result.model: f"{result.score:.2f}" for result in published.CIFAR10},
}
# The same for all; none was tuned for one of them. No dropout, since only PixelCNN++ has it.
COMMON = dict(
    config="tiny",
    learning_rate=0.003,
    batch_size=16,
    polyak_decay=0.98,
    log_interval=20,
    eval_interval=0,
    num_samples=0,
    seed=1,
)
NUM_SAMPLES = 16
CACHED = ("gated_pixelcnn", "pixelcnn_pp")  # models with a cached sampler


def write_data(task):
    """The images of a task as `.npz`: all for training, the first ones of the test split."""
    path = os.path.join(FLAGS.runs, f"{task}-{FLAGS.test_images}.npz")
    if not os.path.exists(path):
        dataset = load(task, FLAGS.data_dir)
        images = dataset.eval.images[: FLAGS.test_images]
        write_npz(path, x_train=dataset.train.images, x_test=images)
    return path


def steps_of(task):
    return int(FLAGS.steps[FLAGS.tasks.index(task)])


def train(task, model, dataset):
    """Trains a model, unless that is done; returns its folder."""
    workdir = os.path.join(FLAGS.runs, f"{task}-{model}-{steps_of(task)}")
    nr_resnet, nr_filters, third = TASKS[task]["sizes"][model]
    third_name = "nr_logistic_mix" if model == "pixelcnn_pp" else "num_head_filters"
    values = COMMON | {
        "dataset": dataset,
        "workdir": workdir,
        "model": model,
        "quantize": TASKS[task]["num_levels"],
        "nr_resnet": nr_resnet,
        "nr_filters": nr_filters,
        third_name: third,
        "max_steps": steps_of(task),
    }
    if model == "pixelcnn_pp":
        values["dropout_p"] = 0.0
    exists = os.path.exists(os.path.join(workdir, "config.json"))
    saved = Run.open(workdir).saved if exists else None
    other = {k for k, v in values.items() if saved and getattr(saved.config, k) != v}
    if other:
        raise app.UsageError(f"{workdir}: a run of other settings ({', '.join(other)}); delete it")
    path = os.path.join(workdir, "metrics.jsonl")
    tested = os.path.exists(path) and any("test/bits_per_dim" in row for row in read(path))
    last = os.path.join(workdir, "checkpoints", f"step-{steps_of(task)}.index")
    if not (tested and os.path.exists(last)):
        run("main", **values)
    return workdir


def count_unmasked(model):
    """Parameters without the weights that a mask always sets to zero."""
    masks = [layer.mask for layer in model._flatten_layers() if isinstance(layer, MaskedConv2D)]
    return model.count_params() - sum(int(np.sum(mask == 0)) for mask in masks)


def time_samples(model, draw):
    """Samples 16 images: `(images, seconds)`; without `draw` `(None, seconds)`, where there is no
    cached sampler one pass timed and multiplied."""
    height, width, channels = model.image_shape
    if model.make_cached_sampler() is not None:
        sampling.sample(model, NUM_SAMPLES, seed=1)
        begin = time.perf_counter()
        images = sampling.sample(model, NUM_SAMPLES, seed=1).numpy()
        return images if draw else None, time.perf_counter() - begin
    seeds = tf.random.split(tf.constant([1, 0]), num=NUM_SAMPLES)
    uniforms = sampling.pixel_uniforms(model, seeds)
    images = tf.zeros([NUM_SAMPLES, height, width, channels])
    one_pass = tf.function(lambda x: model.sample_pixels(x, None, uniforms))
    one_pass(images)
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        one_pass(images).numpy()
        times.append(time.perf_counter() - begin)
    passes = height * width * model.passes_per_pixel
    seconds = statistics.median(times) * passes
    if not draw:
        return None, seconds
    begin = time.perf_counter()
    images = sampling.sample(model, NUM_SAMPLES, seed=1).numpy()
    return images, time.perf_counter() - begin


def receptive_field(model):
    """|gradient| of the centre pixel's parameters by every pixel, `[H, W]`, mean of 8 images."""
    height, width, _ = model.image_shape
    images = tf.random.stateless_uniform([8, *model.image_shape], [1, 2], -1.0, 1.0)
    with tf.GradientTape() as tape:
        tape.watch(images)
        centre = model(images)[:, height // 2, width // 2]
        signs = tf.sign(tf.random.stateless_normal(centre.shape[1:], [3, 4]))
        total = tf.reduce_sum(centre * signs)
    return tf.reduce_mean(tf.abs(tape.gradient(total, images)), axis=[0, 3]).numpy()


def measure(task, model_name, workdir):
    """The numbers of a run, from its folder's `result.json` if they were measured before."""
    path = os.path.join(workdir, "result.json")
    if os.path.exists(path):
        with open(path) as file:
            result = json.load(file)
        if result["drawn"] or task not in FLAGS.sample:
            return result
    opened = Run.open(workdir)
    model, step = opened.model(), opened.step
    rows = read(os.path.join(workdir, "metrics.jsonl"))
    tested = next(row for row in rows if row["step"] == step and "test/bits_per_dim" in row)
    speeds = [row["images_per_sec"] for row in rows if "images_per_sec" in row]
    field = receptive_field(model)
    images, seconds = time_samples(model, draw=task in FLAGS.sample)
    result = {
        "bits_per_dim": tested["test/bits_per_dim"],
        "bits_per_dim_raw": tested["test/bits_per_dim_raw"],
        "nats": tested["test/loss_per_image"],
        "parameters": model.count_params(),
        "unmasked": count_unmasked(model),
        "images_per_sec": statistics.median(speeds[1:] or speeds),  # the first one compiles
        "sampling_seconds": seconds,
        "drawn": images is not None,
    }
    arrays = {"receptive_field": field}
    if images is not None:
        levels = input_to_levels(images, model.num_levels).numpy()
        arrays["samples"] = to_uint8(levels, model.num_levels)
    write_npz(os.path.join(workdir, "result.npz"), **arrays)
    with open(path, "w") as file:
        json.dump(result, file, indent=2)
    print(model_name, result, flush=True)
    return result


def draw_samples(task, results, dataset):
    """Grids of samples side by side, and of test images."""
    figure = Figure(figsize=(3 * (len(results) + 1), 3.4), layout="constrained")
    axes = figure.subplots(1, len(results) + 1)
    num_levels = TASKS[task]["num_levels"] or dataset.num_levels
    originals = levels_to_input(dataset.eval.images[:NUM_SAMPLES], num_levels)
    panels = {"test images": to_uint8(input_to_levels(originals, num_levels), num_levels)}
    for model, result in results.items():
        with np.load(os.path.join(result["workdir"], "result.npz")) as file:
            panels[f"{NAMES[model]}, {result['bits_per_dim']:.3f} bits/dim"] = file["samples"]
    for axis, (title, images) in zip(axes, panels.items(), strict=True):
        axis.imshow(grid(images).squeeze(), cmap="gray")
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    name = f"comparison_{task}_samples.png"
    figure.savefig(os.path.join(FLAGS.output, name), dpi=80)
    return name


def draw_fields(task, results):
    """The receptive fields at the image centre: brightness, and red where nothing is seen."""
    figure = Figure(figsize=(3 * len(results), 3.4), layout="constrained")
    axes = figure.subplots(1, len(results))
    for axis, (model, result) in zip(axes, results.items(), strict=True):
        with np.load(os.path.join(result["workdir"], "result.npz")) as file:
            field = file["receptive_field"]
        height, width = field.shape
        centre = height // 2, width // 2
        before = np.arange(height * width).reshape(height, width) < np.ravel_multi_index(
            centre, field.shape
        )
        blind = before & (field == 0)
        strength = np.log10(np.maximum(field, field.max() * 1e-6))
        axis.imshow(np.ma.masked_where(~before | blind, strength), cmap="viridis")
        colours = np.ones([height, width, 4])
        colours[blind] = [0.85, 0.2, 0.2, 1.0]
        colours[before & ~blind, 3] = 0.0
        colours[centre] = [0.0, 0.0, 0.0, 1.0]
        axis.imshow(colours)
        axis.set_title(f"{NAMES[model]}: {blind.sum()} of {before.sum()} unseen", fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
        assert not field[~before].any(), "a later pixel is seen"
    name = f"comparison_{task}_fields.png"
    figure.savefig(os.path.join(FLAGS.output, name), dpi=80)
    return name


def write_table(file, task, results, dataset):
    mnist = TASKS[task]["num_levels"] == 2
    print(f"## {TASKS[task]['title']}\n", file=file)
    print(
        f"{dataset.train.num_examples:,} training images, the first "
        f"{dataset.eval.num_examples:,} test images, {steps_of(task)} steps of "
        f"{COMMON['batch_size']} images ({steps_of(task) * COMMON['batch_size']:,} images seen).\n",
        file=file,
    )
    nats = " nats |" if mnist else ""
    print(
        f"| model | nr_resnet, nr_filters | weights (not masked) | bits/dim (raw) |{nats} "
        f"training images/s | {NUM_SAMPLES} samples | {TASKS[task]['published']} |",
        file=file,
    )
    print("|---" * (7 + mnist) + "|", file=file)
    for model, result in results.items():
        nr_resnet, nr_filters, _ = TASKS[task]["sizes"][model]
        nats = f" {result['nats']:.2f} |" if mnist else ""
        estimated = "" if result["drawn"] or model in CACHED else " (*)"
        print(
            f"| {NAMES[model]} | {nr_resnet}, {nr_filters} | {result['parameters']:,} "
            f"({result['unmasked']:,}) | {result['bits_per_dim']:.3f} "
            f"({result['bits_per_dim_raw']:.3f}) |{nats} "
            f"{result['images_per_sec']:.0f} | {result['sampling_seconds']:.1f} s{estimated} | "
            f"{PUBLISHED[task].get(NAMES[model], '')} |",
            file=file,
        )
    if not all(result["drawn"] for result in results.values()):
        print("\n(*) the time of one pass times the number of passes; not drawn.", file=file)
    print(file=file)


INTRODUCTION = """# The family compared

Made by `{command}`.
The models are small and trained for minutes on 2 CPU cores that did other work too: the figures
compare them with each other, early in training, and say nothing of how they end. The published
figures, in a column of their own, are of the papers' models, which are far larger and were trained
to the end (quoted; the papers' text could not be reached from here to check them).

All are trained alike: learning rate {learning_rate}, tuned for none of them, batch {batch_size},
seed {seed}, no dropout. Bits/dim are those of the averaged weights (Polyak decay
{polyak_decay}; they lag behind in so short a run) and of the raw ones. "Not masked" leaves out the
weights that a mask holds at zero; the sizes are chosen so that these are about as many.
PixelCNN++ and Gated PixelCNN have cached samplers, the others take a pass of the network for every
sub-pixel.

"""

FIELDS = """### What the centre sees

|Gradient| of the distribution at the centre (black) by every pixel before it, logarithmic (dark is
weak), in the trained models. Red is seen by no path.

- PixelCNN: its blind spot lies to the right, since 3x3 convolutions reach only one column further
  with every row.
- Gated PixelCNN and PixelCNN++, with their two stacks, see everything.
- Row LSTM: a triangle, as its paper says, that the layers widen.
- Diagonal BiLSTM: everything but one pixel, the last of the row above. It follows from the paper's
  description: the map that brings the row above from the right holds features of what lies before
  each of its pixels, so that the last pixel itself comes only with the features of later pixels.

![receptive fields]({picture})

"""


def main(_):
    if len(FLAGS.steps) != len(FLAGS.tasks):
        raise app.UsageError("--steps: as many numbers as --tasks has names")
    os.makedirs(FLAGS.runs, exist_ok=True)
    os.makedirs(FLAGS.output, exist_ok=True)
    sections = {}
    for task in FLAGS.tasks:
        path = write_data(task)
        dataset = load(path, options=DataOptions(quantize=TASKS[task]["num_levels"]))
        results = {}
        for model in TASKS[task]["sizes"]:
            workdir = train(task, model, path)
            results[model] = measure(task, model, workdir) | {"workdir": workdir}
        sections[task] = dataset, results
    path = os.path.join(FLAGS.output, "comparison.md")
    steps, tasks = ",".join(FLAGS.steps), ",".join(FLAGS.tasks)
    command = f"python experiments/comparison/comparison.py --steps={steps} --tasks={tasks}"
    with open(path + ".tmp", "w") as file:
        file.write(INTRODUCTION.format(command=command, **COMMON))
        for task, (dataset, results) in sections.items():
            write_table(file, task, results, dataset)
            if TASKS[task]["num_levels"] == 2:
                file.write(
                    "The published figures are of MNIST binarised by sampling, as is usual since\n"
                    "Salakhutdinov and Murray (2008). The threshold used here gives smoother\n"
                    "images: the two are not comparable even in principle.\n\n"
                )
            if all(result["drawn"] for result in results.values()):
                file.write(f"![samples]({draw_samples(task, results, dataset)})\n\n")
            if task == FLAGS.tasks[0]:
                file.write(FIELDS.format(picture=draw_fields(task, results)))
    os.replace(path + ".tmp", path)
    print(f"written: {path}")


if __name__ == "__main__":
    app.run(main)
