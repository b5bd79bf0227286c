"""Draws the figures of docs/concepts/model.md from the code itself.

    python experiments/figures/figures.py                     # all, about a minute on 2 CPU cores
    python experiments/figures/figures.py --only=kernels

Receptive fields are measured in networks with random weights: a pixel is inside if the gradient of
the output with respect to it is not zero.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from absl import app, flags
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from pixelcnn_tf import GatedPixelCNN, PixelCNN, PixelCNNPlusPlus
from pixelcnn_tf.layers.gated_resnet import GatedResnet
from pixelcnn_tf.layers.input_streams import HorizontalInput, VerticalInput
from pixelcnn_tf.layers.shifted_convolutions import DownRightShiftedConv2D, DownShiftedConv2D
from pixelcnn_tf.levels import level_values
from pixelcnn_tf.likelihoods.discretized_mix_logistic import DiscretizedMixLogistic

FLAGS = flags.FLAGS
flags.DEFINE_list("only", [], "which figures; default: all")
flags.DEFINE_string("output", "docs/images", "folder of the figures")

SIDE = 24  # of the images; divisible by 4
CENTRE = (13, 11)  # row and column of the pixel whose view is drawn
HERE, BLIND, LATER = "#111111", "#d62728", "#e8e8e8"
VERTICAL, HORIZONTAL = "#1f77b4", "#e07b00"
DPI = 110


def gradient_map(function, shape, place):
    """|gradient| of what `function` gives at a place by every pixel of its input, `[H, W]`."""
    total = np.zeros(shape[:2])
    for seed in range(3):  # several inputs: a path may be closed by chance for one of them
        images = tf.random.stateless_uniform([2, *shape], [seed, 1], -1.0, 1.0, tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(images)
            output = tf.cast(function(images), tf.float64)[:, place[0], place[1]]
            weights = tf.random.stateless_normal(output.shape, [seed, 2], dtype=tf.float64)
            result = tf.reduce_sum(output * weights)
        gradient = tape.gradient(result, images)
        total += np.abs(gradient.numpy()).sum(axis=(0, 3))
    return total


def draw_map(axes, values, place, title):
    """Draws what a pixel sees: dark is strong, red is before the pixel but not seen."""
    height, width = values.shape
    rows, columns = np.mgrid[:height, :width]
    before = (rows < place[0]) | ((rows == place[0]) & (columns < place[1]))
    assert not values[~before].any(), "a pixel sees itself or a later one"
    colours = np.ones([height, width, 3])
    colours[~before] = matplotlib.colors.to_rgb(LATER)
    colours[before & (values == 0)] = matplotlib.colors.to_rgb(BLIND)
    seen = values > 0
    scale = LogNorm(max(values[seen].min(), values.max() * 1e-8), values.max(), clip=True)
    blues = matplotlib.colormaps["Blues"]
    colours[seen] = blues(0.25 + 0.7 * np.asarray(scale(values[seen])))[:, :3]
    colours[place] = matplotlib.colors.to_rgb(HERE)
    axes.imshow(colours)
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def legend(figure, blind=True):
    entries = [(HERE, "the pixel"), ("#2f7fbc", "seen (dark: strongly)")]
    entries += [(BLIND, "before it, not seen")] if blind else []
    entries.append((LATER, "the pixel's future"))
    patches = [matplotlib.patches.Patch(color=color, label=text) for color, text in entries]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False)


def save(figure, name):
    path = os.path.join(FLAGS.output, f"design_{name}.png")
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    print(path, flush=True)


def kernels():
    """Which cells of its input each of the layers sees: the gradient of one layer."""
    place, shape = (3, 3), (6, 7, 3)
    layers = {
        "vertical input\n2x3, moved one row down": VerticalInput(4, dtype="float64"),
        "horizontal input\n1x3 moved down + 2x1 moved right": HorizontalInput(4, dtype="float64"),
        "vertical stream\ndown-shifted 2x3": DownShiftedConv2D(4, dtype="float64"),
        "horizontal stream\ndown-right-shifted 2x2": DownRightShiftedConv2D(4, dtype="float64"),
    }
    figure = Figure(figsize=(10, 2.75), layout="constrained")
    for axes, (title, layer) in zip(figure.subplots(1, 4), layers.items(), strict=True):
        seen = gradient_map(layer, shape, place) > 0
        colours = np.ones([*shape[:2], 3])
        colours[seen] = matplotlib.colors.to_rgb("#7fb3da")
        axes.imshow(colours)
        axes.add_patch(
            matplotlib.patches.Rectangle(
                (place[1] - 0.45, place[0] - 0.45), 0.9, 0.9, fill=False, lw=3, ec=HERE
            )
        )
        axes.set_title(title, fontsize=10)
        axes.set_xticks(np.arange(-0.5, shape[1]), [])
        axes.set_yticks(np.arange(-0.5, shape[0]), [])
        axes.tick_params(length=0)
        axes.grid(color="#bbbbbb")
    figure.suptitle("the cells of its input (blue) that an output (frame) is computed from")
    save(figure, "kernels")


def run_layer(layer, x, a=None):
    """The plainest `run` of `PixelCNNPlusPlus.walk`: whole images, no dropout."""
    return layer(x, a=a) if isinstance(layer, GatedResnet) else layer(x)


def with_ones(images):
    return tf.concat([images, tf.ones_like(images[..., :1])], axis=-1)


def streams():
    """What the last features of each stream see, and what the horizontal one sees by itself."""
    model = PixelCNNPlusPlus(
        (SIDE, SIDE, 1), nr_resnet=5, nr_filters=8, nr_logistic_mix=2, dtype="float64"
    )

    def last_features(stream, alone=False):
        def function(images):
            last = {}

            def run(layer, x, a=None):
                if alone and isinstance(layer, GatedResnet) and layer.stream == "horizontal":
                    a = (tf.stop_gradient(a[0]), *a[1:])  # cut off from the vertical stream
                y = run_layer(layer, x, a)
                if isinstance(layer, GatedResnet):
                    last[layer.stream] = y
                return y

            model.walk(with_ones(images), run)
            return last[stream]

        return function

    figure = Figure(figsize=(10, 4.3), layout="constrained")
    panels = {
        "vertical stream u:\nall rows above": last_features("vertical"),
        "horizontal stream ul cut off from u:\nblind to the upper right": last_features(
            "horizontal", alone=True
        ),
        "both: every pixel before,\nno blind spot": model,
    }
    for axes, (title, function) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        draw_map(axes, gradient_map(function, (SIDE, SIDE, 1), CENTRE), CENTRE, title)
    legend(figure)
    save(figure, "streams")


def blind_spot():
    """The blind spot of masked convolutions, and the networks without one."""
    sizes = dict(nr_filters=8, num_head_filters=8, num_levels=4, dtype="float64")
    shape = (SIDE, SIDE, 1)
    models = {
        "PixelCNN, 2 blocks": PixelCNN(shape, nr_resnet=2, **sizes),
        "PixelCNN, 15 blocks": PixelCNN(shape, nr_resnet=15, **sizes),
        "Gated PixelCNN, 6 layers": GatedPixelCNN(shape, nr_resnet=6, **sizes),
        "PixelCNN++, 5 resnets": PixelCNNPlusPlus(
            shape, nr_resnet=5, nr_filters=8, nr_logistic_mix=2, dtype="float64"
        ),
    }
    for model in models.values():
        for variable in model.trainable_variables:
            if variable.name == "bias":  # ReLUs that are open at first
                variable.assign(tf.ones_like(variable.value) / 2)
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    for axes, (title, model) in zip(figure.subplots(1, 4), models.items(), strict=True):
        draw_map(axes, gradient_map(model, shape, CENTRE), CENTRE, title)
    legend(figure)
    save(figure, "blind_spot")


def network():
    """The U-Net as `PixelCNNPlusPlus.walk` walks it, with 2 residual blocks in each stage."""
    model = PixelCNNPlusPlus((8, 8, 3), nr_resnet=2, nr_filters=4, nr_logistic_mix=2)
    nodes, arrows = [("image", 0, None)], []  # (kind, stage, stream); (from, to, style)

    def run(layer, x, a=None):
        kind = type(layer).__name__
        stream = getattr(layer, "stream", None)
        if stream is None and "Head" not in kind:
            right = "Right" in kind or "Horizontal" in kind
            stream = "horizontal" if right else "vertical"
        stage = nodes[x][1]
        if "Transpose" in kind:
            stage -= 1
        elif kind.endswith("ShiftedConv2D"):
            stage += 1
        nodes.append((kind, stage, stream))
        here = len(nodes) - 1
        arrows.append((x, here, "input"))
        for other in a or ():
            crosses = nodes[other][2] != stream
            arrows.append((other, here, "u to ul" if crosses else "shortcut"))
        return here

    model.walk(0, run)
    place, columns = {}, {"vertical": 1.0, "horizontal": 1.0}
    for number, (kind, stage, stream) in enumerate(nodes):
        if kind == "image":
            place[number] = (0.0, 0.0)
        elif stream is None:
            place[number] = (max(columns.values()) + 0.3, -0.8)
        else:
            place[number] = (columns[stream], -4.2 * stage - (1.6 if stream == "horizontal" else 0))
            columns[stream] += 1.0
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.subplots()
    for begin, end, style in arrows:
        if style == "shortcut":
            look = dict(color="#999999", lw=1, ls=":", connectionstyle="arc3,rad=-0.18")
        elif style == "u to ul":
            look = dict(color=VERTICAL, lw=0.9, alpha=0.6, connectionstyle="arc3")
        else:
            color = HORIZONTAL if nodes[end][2] == "horizontal" else VERTICAL
            color = HERE if nodes[end][2] is None else color
            look = dict(color=color, lw=1.6, connectionstyle="arc3")
        axes.annotate(
            "",
            place[end],
            place[begin],
            arrowprops=dict(arrowstyle="->", shrinkA=7, shrinkB=7, **look),
        )
    markers = {"GatedResnet": "s", "image": "D", "MixtureHead": "D"}
    for number, (kind, _, stream) in enumerate(nodes):
        color = {"vertical": VERTICAL, "horizontal": HORIZONTAL, None: HERE}[stream]
        marker = markers.get(kind, "^" if "Transpose" in kind else "v" if "Conv" in kind else "o")
        axes.plot(*place[number], marker, color=color, ms=10)
    last = max(x for x, _ in place.values())
    for stage, name in enumerate(("full", "half", "quarter")):
        axes.text(last + 0.5, -4.2 * stage - 0.7, f"stage {stage}:\n{name} size", va="center")
    axes.annotate("image", place[0], (0, 0.8), ha="center")
    axes.text(place[len(nodes) - 1][0], 0.1, "head", ha="center")
    axes.text(2.5, 2.4, "up pass", ha="center")
    axes.text(last - 3.5, 2.4, "down pass", ha="center")
    line, patch = matplotlib.lines.Line2D, dict(ls="", ms=9)
    handles = [
        line([], [], color=VERTICAL, label="vertical stream u", lw=2),
        line([], [], color=HORIZONTAL, label="horizontal stream ul", lw=2),
        line([], [], color="#999999", ls=":", label="shortcut"),
        line([], [], marker="o", color="#777777", label="input layer", **patch),
        line([], [], marker="s", color="#777777", label="gated residual block", **patch),
        line([], [], marker="v", color="#777777", label="halves the size", **patch),
        line([], [], marker="^", color="#777777", label="doubles the size", **patch),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    axes.set_ylim(-11.5, 3.0)
    axes.axis("off")
    save(figure, "network")


def mixture():
    """The mixture of one pixel, continuous and as the probabilities of its levels."""
    num_levels, k = 32, 3
    half = 1.0 / (num_levels - 1)
    logits, means, scales = [0.6, 0.0, -0.4], [-0.3, 0.05, 1.0], [0.11, 0.05, 0.1]
    parameters = np.array([*logits, *means, *np.log(scales)], np.float64)  # 3 K numbers
    levels = level_values(num_levels).astype(np.float64)
    likelihood = DiscretizedMixLogistic(k, 1, num_levels)
    # One image of one row, in which every level stands once.
    output = np.tile(parameters, [1, 1, num_levels, 1])
    probabilities = np.exp(likelihood.log_prob(levels.reshape(1, 1, -1, 1), output))[0, 0]
    assert abs(probabilities.sum() - 1) < 1e-3
    x = np.linspace(-1.45, 1.45, 800)
    weights = np.exp(logits) / np.exp(logits).sum()
    z = (x[:, None] - means) / scales
    parts = weights * np.exp(-z) / (np.array(scales) * (1 + np.exp(-z)) ** 2) * 2 * half
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.bar(levels, probabilities, 2 * half * 0.92, color="#c9def0", ec="#7fb3da")
    for number in range(k):
        axes.plot(x, parts[:, number], "--", color="#888888", lw=1)
    axes.plot(x, parts.sum(axis=-1), color=VERTICAL, lw=2)
    axes.axvspan(-1.45, -1, color=LATER, alpha=0.5)
    axes.axvspan(1, 1.45, color=LATER, alpha=0.5)
    axes.set_xlabel("value of the sub-pixel; level k stands at (k - 15.5) / 15.5")
    axes.set_ylabel("probability of a level")
    axes.legend(
        handles=[
            matplotlib.patches.Patch(
                fc="#c9def0", ec="#7fb3da", label="mass of the level's bin (`log_prob`)"
            ),
            matplotlib.lines.Line2D([], [], color=VERTICAL, label="density times bin width"),
            matplotlib.lines.Line2D([], [], color="#888888", ls="--", label="its 3 components"),
        ],
        loc="upper left",
        frameon=False,
    )
    axes.annotate(
        "the outermost bins\nreach to infinity",
        (1.0, probabilities[-1] * 0.95),
        (0.55, probabilities[-1] * 0.8),
        ha="center",
        arrowprops=dict(arrowstyle="->"),
    )
    axes.set_xlim(-1.45, 1.45)
    save(figure, "mixture")


FIGURES = {f.__name__: f for f in (kernels, streams, blind_spot, network, mixture)}


def main(_):
    keras.utils.set_random_seed(1)
    for name in FLAGS.only or FIGURES:
        FIGURES[name]()


if __name__ == "__main__":
    app.run(main)
