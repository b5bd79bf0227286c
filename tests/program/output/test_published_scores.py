"""Published scores stand beside what they can be compared with, and beside nothing else."""

import numpy as np
from small import random_levels

from train.data.dataset import Dataset
from train.data.splits import ArraySplit
from train.scoring.published_scores import table


def test_published_table():
    split = ArraySplit(random_levels(4, 28, 28, 1, num_levels=2))
    data = Dataset("cifar10", (32, 32, 3), 256, 10, split, split, note="scored on 761 images")
    rows = [("averaged weights", 2.95, 0.01)]
    text = table(data._replace(benchmark="cifar10"), rows)
    for part in (
        "2.9500  this run, averaged weights +- 0.0100 (standard error, 4 images)",
        "2.92  PixelCNN++",
        "2.80  Sparse",
        "note: scored on 761",
    ):
        assert part in text
    assert "PixelCNN++" not in table(data, rows)  # other levels or images than the benchmark's
    assert "not comparable" in table(data._replace(name="imagenet_resized/32x32"), [])
    binary = Dataset("binarized_mnist", (28, 28, 1), 2, None, split, split)
    assert "81.30" not in table(binary, rows)
    text = table(binary._replace(benchmark="binarized_mnist"), [("averaged weights", 0.15, None)])
    assert "nats  binarized_mnist, test" in text and "81.30  PixelCNN - van den Oord" in text
    assert f"{0.15 * np.log(2) * 784:.2f}  this run, averaged weights (0.1500 bits/dim)" in text
