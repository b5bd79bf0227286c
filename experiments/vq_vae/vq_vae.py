"""VQ-VAE: priors with and without an embedding of the codes, and training on a folder of images.

    python experiments/vq_vae/vq_vae.py --part=embedding --vq_vae=runs/mnist-vq_vae-tiny
    python experiments/vq_vae/vq_vae.py --part=colour --data_dir=<prepared tfds data>

`embedding` trains a Gated PixelCNN on the codes of a VQ-VAE twice, with an embedding of each code
and with the codes scaled to [-1, 1] like intensities, and draws both curves. `colour` enlarges the
images of CIFAR-10 to 64x64, writes them as PNG files into a folder, and trains a VQ-VAE on that
folder, reading the files batch by batch.
"""

import os

from absl import app, flags
from matplotlib.figure import Figure
from PIL import Image

from train.config.presets import from_values
from train.data import folder_reader as image_files
from train.data.load import load
from train.errors import UserError
from train.main import train
from train.run.metrics import read

FLAGS = flags.FLAGS
flags.DEFINE_enum("part", "embedding", ["embedding", "colour"], "what to do")
flags.DEFINE_string("vq_vae", "runs/mnist-vq_vae-tiny", "workdir of the VQ-VAE")
flags.DEFINE_string("data_dir", "", "where the tfds data sets are")
flags.DEFINE_string("folder", "runs/cifar10-64x64", "where the enlarged images go")
flags.DEFINE_string("runs", "runs", "folder for the runs")
flags.DEFINE_string("output", "docs/images/conditions_embedding.png", "figure of the curves")
flags.DEFINE_integer("steps", 3000, "training steps of each run")
SIDE = 64
KINDS = {True: "an embedding of each code", False: "codes scaled like intensities"}


def train_priors():
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for number, (embedded, label) in enumerate(KINDS.items()):
        values = dict(
            dataset=f"codes:{FLAGS.vq_vae}",
            data_dir=FLAGS.data_dir,
            model="gated_pixelcnn",
            config="tiny",
            input_embedding=embedded,
            workdir=os.path.join(FLAGS.runs, f"codes-{'embedded' if embedded else 'scaled'}"),
            max_steps=FLAGS.steps,
            num_samples=0,
        )
        scores = train(from_values(values))
        rows = read(os.path.join(values["workdir"], "metrics.jsonl"))
        for name, style in (("train", "-"), ("test", "o")):
            points = [
                (row["step"], row[f"{name}/bits_per_dim"])
                for row in rows
                if f"{name}/bits_per_dim" in row
            ]
            axes.plot(
                *zip(*points, strict=True), style, color=f"C{number}", label=f"{name}, {label}"
            )
        print(f"{label}: {scores['averaged']:.4f} bits a code (test)", flush=True)
    axes.set(xlabel="step", ylabel="bits a code", ylim=(None, rows[2]["train/bits_per_dim"]))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(FLAGS.output, dpi=120)


def write_folder():
    """The images of CIFAR-10 as PNG of 64x64, bicubic, in a folder that is whole or missing."""
    dataset = load("cifar10", FLAGS.data_dir)
    unfinished = FLAGS.folder + ".unfinished"
    for name, split in (("train", dataset.train), ("test", dataset.eval)):
        folder = os.path.join(unfinished, name)
        os.makedirs(folder, exist_ok=True)
        for number, image in enumerate(split.images):
            large = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            large.save(os.path.join(folder, f"{number:05d}.png"))
    os.rename(unfinished, FLAGS.folder)


def train_on_folder():
    if not os.path.isdir(FLAGS.folder):
        write_folder()
    image_files.IN_MEMORY_BYTES = 0  # as for a folder larger than memory
    values = dict(
        dataset=f"folder:{FLAGS.folder}",
        model="vq_vae",
        config="small",
        nr_filters=64,
        codebook_update="ema",
        reset_unused_after=200,
        workdir=os.path.join(FLAGS.runs, "cifar10-64x64-vq_vae"),
        max_steps=FLAGS.steps,
        eval_interval=0,
    )
    train(from_values(values))


def main(_):
    try:
        train_priors() if FLAGS.part == "embedding" else train_on_folder()
    except UserError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    app.run(main)
