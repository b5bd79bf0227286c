"""Out-of-distribution detection for a model of MNIST: prints a table of scores.

    python experiments/out_of_distribution/out_of_distribution.py --data_dir=<prepared tfds data> \\
        --mutated=mutated.npz
    python experiments/out_of_distribution/out_of_distribution.py --data_dir=<prepared tfds data> \
        --workdir=runs/mnist-tiny --background=runs/mnist-background

The first writes training images for the background model: copies of MNIST's in which each pixel is
replaced with probability 0.3 by one drawn uniformly. The second makes an `.npz` of each kind of
images, scores it by `train.score`, and compares the tables.
"""

import csv
import os
import subprocess
import sys

import numpy as np
from absl import app, flags
from PIL import Image
from sklearn.datasets import load_digits

from train.data.load import load
from train.scoring.detection import detect

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", "", "where the tfds data sets are")
flags.DEFINE_string("mutated", "", "write the background's training images to this .npz, and end")
flags.DEFINE_string("workdir", "runs/mnist-tiny", "folder of the run on MNIST, 8 bits")
flags.DEFINE_string("background", "runs/mnist-background", "folder of the background run")
flags.DEFINE_string("output", "runs/out_of_distribution", "folder of images and scores")
flags.DEFINE_integer("num_images", 2000, "number of test images")

MUTATION_RATE = 0.3
COPIES = 2  # of the training images, each mutated anew
REFERENCE = "MNIST test"
SIDE = 28
# by -> (column of the table, sign with which higher is less like MNIST)
MEASURES = {
    "likelihood": ("log_prob_nats", -1),
    "ratio": ("likelihood_ratio_nats", -1),
    "complexity": ("complexity_score", 1),
}


def write_mutated(dataset):
    """The file that the background model is trained on."""
    generator = np.random.default_rng(1)

    def mutate(images):
        mask = generator.random(images.shape) < MUTATION_RATE
        drawn = generator.integers(0, 256, images.shape, dtype=np.uint8)
        return np.where(mask, drawn, images)

    copies = np.concatenate([mutate(dataset.train.images) for _ in range(COPIES)])
    test = mutate(dataset.eval.images[:500])
    np.savez(FLAGS.mutated, x_train=copies, x_test=test, num_levels=256)


def make_images(dataset):
    """`{name: images [N, 28, 28, 1]}`, the reference first."""
    test = dataset.eval.images[: FLAGS.num_images]
    digits = [
        np.asarray(Image.fromarray(np.uint8(digit * 255 // 16)).resize((SIDE, SIDE)))
        for digit in load_digits().images.astype(int)
    ]
    return {
        REFERENCE: test,
        "inverted": 255 - test,
        "rotated by 90 degrees": np.rot90(test, axes=(1, 2)),
        "uniform noise": np.random.default_rng(0).integers(0, 256, test.shape, dtype=np.uint8),
        "scikit-learn's digits, 8x8, resized": np.stack(digits)[: FLAGS.num_images, ..., None],
    }


def score(name, images):
    """Columns of `train.score`, `{name: float [N]}`."""
    path = os.path.join(FLAGS.output, "".join(c if c.isalnum() else "_" for c in name))
    np.savez_compressed(path + ".npz", images=images)
    command = ["-m", "train.score", f"--workdir={FLAGS.workdir}", f"--images={path}.npz"]
    command += [f"--background={FLAGS.background}", "--complexity", f"--output={path}.csv"]
    print("python", *command, "--batch_size=100", flush=True)
    subprocess.run([sys.executable, *command, "--batch_size=100"], check=True)
    with open(path + ".csv", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [column for column, _ in MEASURES.values()] + ["bits_per_dim", "complexity_bits"]
    return {column: np.array([float(row[column]) for row in rows]) for column in columns}


def main(_):
    dataset = load("mnist", FLAGS.data_dir)
    if FLAGS.mutated:
        write_mutated(dataset)
        return
    os.makedirs(FLAGS.output, exist_ok=True)
    scores = {name: score(name, images) for name, images in make_images(dataset).items()}
    reference = scores[REFERENCE]
    head = [f"{what}, by {by}" for by in MEASURES for what in ("AUROC", "FPR at 95 % TPR")]
    print(f"| images | number | bits/dim | complexity, bits/dim | {' | '.join(head)} |")
    print("|---" * (len(head) + 4) + "|")
    for name, columns in scores.items():
        row = [name, f"{len(columns['bits_per_dim']):,}", f"{columns['bits_per_dim'].mean():.3f}"]
        row.append(f"{columns['complexity_bits'].mean() / SIDE**2:.3f}")
        for column, sign in MEASURES.values():
            if name == REFERENCE:
                row += ["", ""]
                continue
            found = detect(sign * columns[column], sign * reference[column])
            row += [f"{found.auroc:.3f}", f"{found.fpr:.3f}"]
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    app.run(main)
