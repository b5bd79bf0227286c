"""What is drawn anew for the images of a batch: crops, flips, mutations, binarisation.

Everything here is a pure function of the batch's `seeds` (see `splits.py`), which are one of
(seed, step, place): exact when a run is continued, and the same on any number of replicas, since
it is done to the global batch, before that is shared out.
"""

from typing import NamedTuple

import tensorflow as tf

from pixelcnn_tf.random import random_uniforms

# Distinguish the draws of one seed; dropout uses the numbers of its blocks.
CROP, FLIP, WHERE, WHICH, BINARIZE = range(2**40, 2**40 + 5)
EVALUATION_SEED = (0x62696E, 0)  # of the one binary draw that evaluation sees


class Augmentation(NamedTuple):
    """What is done to the images of a split, in this order; the default does nothing.

    Attributes:
      binarize: number of levels m of images to be binarised: level x becomes 1 with probability
        x / (m - 1), else 0; 0: they are not. In evaluation each image has one fixed draw.
      random_flip: in training each image is mirrored left to right with probability 1/2.
      mutation_rate: in training each value is replaced, with this probability, by one drawn
        uniformly from all levels (Ren et al. 2019).
      num_levels: of the images that come out.
    """

    binarize: int = 0
    random_flip: bool = False
    mutation_rate: float = 0.0
    num_levels: int = 256

    def train(self, batch: dict) -> dict:
        """A training batch with new `images`, a function of its `images` and `seeds`."""
        images, seeds = batch["images"], batch["seeds"]
        if self.binarize:
            images = binarize(images, seeds, self.binarize)
        if self.random_flip:
            flip = random_uniforms(seeds, [1, 1, 1], FLIP) < 0.5
            images = tf.where(flip, tf.reverse(images, axis=[2]), images)
        if self.mutation_rate:
            images = mutate(images, seeds, self.mutation_rate, self.num_levels)
        return batch | {"images": images}

    def evaluate(self, batch: dict, first: tf.Tensor) -> dict:
        """A batch for evaluation, whose images are numbers `first`, `first` + 1, ... of the split;
        what is drawn does not depend on the size of the batch."""
        if not self.binarize:
            return batch
        numbers = tf.cast(first, tf.int32) + tf.range(tf.shape(batch["images"])[0])
        seeds = tf.broadcast_to(tf.constant([EVALUATION_SEED]), [tf.size(numbers), 2])
        seeds = tf.concat([seeds, numbers[:, None]], axis=1)
        return batch | {"images": binarize(batch["images"], seeds, self.binarize)}


def binarize(images: tf.Tensor, seeds: tf.Tensor, num_levels: int) -> tf.Tensor:
    """Levels x of `num_levels`, `[B, H, W, C]`, to 1 with probability x / (num_levels - 1), else
    0; uint8. Extreme levels are kept: 0 becomes 0, num_levels - 1 becomes 1."""
    uniforms = random_uniforms(seeds, images.shape[1:], BINARIZE)
    return tf.cast(uniforms * (num_levels - 1) < tf.cast(images, tf.float32), tf.uint8)


def mutate(images: tf.Tensor, seeds: tf.Tensor, rate: float, num_levels: int) -> tf.Tensor:
    """Replaces each value, with probability `rate`, by a level drawn uniformly."""
    shape = images.shape[1:]
    levels = tf.floor(random_uniforms(seeds, shape, WHICH) * num_levels)
    return tf.where(
        random_uniforms(seeds, shape, WHERE) < rate, tf.cast(levels, images.dtype), images
    )


def crop_corners(
    heights: tf.Tensor, widths: tf.Tensor, size: tuple[int, int], seeds: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Upper and left edges of crops, int32 `[B]` each: anywhere, or without seeds in the centre.

    Args:
      heights, widths: int32 `[B]`, of the images.
      size: `(H, W)` of the crops, at most that of the images.
      seeds: int32 `[B, 3]`, or None.
    """
    rooms = tf.stack([heights - size[0], widths - size[1]], axis=1)
    if seeds is None:
        corners = rooms // 2
    else:
        places = tf.cast(rooms + 1, tf.float32)
        corners = tf.cast(random_uniforms(seeds, [2], CROP) * places, tf.int32)
        corners = tf.minimum(corners, rooms)  # where the product was rounded up
    return corners[:, 0], corners[:, 1]
