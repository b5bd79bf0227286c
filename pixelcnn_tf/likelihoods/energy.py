"""The energy distance: the loss of the variant whose head maps noise to pixels.

Official flag `energy_distance` (`model_spec`, `nn.energy_distance`). The network has no
likelihood: the head maps noise to samples of each pixel, and the loss compares them with the
data by the generalised energy distance 2 E|x - y|^1.5 - E|y - y'|^1.5 (Szekely & Rizzo 2013).
"""

from collections.abc import Sequence

import tensorflow as tf

from pixelcnn_tf.layers.heads import NUM_NOISE
from pixelcnn_tf.levels import check_num_levels, require_values, round_to_level
from pixelcnn_tf.likelihoods.base import Objective

# All from the official code (nn.energy_distance).
PIXEL_SCALE = 127.5  # back to 8-bit intensities
POWER = 0.75  # of the squared distance, that is |.|^1.5
DISTANCE_EPSILON = 1e-10  # inside the power


def energy_distance(
    x: tf.Tensor, x_sample: tf.Tensor | Sequence[tf.Tensor], sum_all: bool = True
) -> tf.Tensor:
    """Energy distance between images and samples, pixel by pixel (`nn.energy_distance`).

    Args:
      x: images `[B, H, W, C]` in [-1, 1].
      x_sample: K >= 2 samples for each image: `[K, B, H, W, C]` or a list of `[B, H, W, C]`.
      sum_all: sum over the batch too.

    Returns:
      float32 scalar, or `[B]` with `sum_all=False`, in (8-bit intensities)^1.5.

    Raises:
      ValueError: with fewer than 2 samples, or for integers as images.
    """
    x = require_values(x, "x")
    if x.dtype != tf.float64:
        x = tf.cast(x, tf.float32)
    samples = [tf.cast(sample, x.dtype) for sample in tf.unstack(tf.convert_to_tensor(x_sample))]
    if len(samples) < 2:
        raise ValueError(f"x_sample: has {len(samples)} samples per image, must have at least 2")

    def distance(a, b):  # [B]
        square = tf.reduce_sum(tf.square(PIXEL_SCALE * (a - b)), axis=-1)
        return tf.reduce_sum(tf.pow(DISTANCE_EPSILON + square, POWER), axis=[1, 2])

    to_data = [distance(x, sample) for sample in samples]
    pairs = [distance(a, b) for i, a in enumerate(samples) for b in samples[i + 1 :]]
    result = 2.0 * tf.add_n(to_data) / len(to_data) - tf.add_n(pairs) / len(pairs)
    return tf.reduce_sum(result) if sum_all else result


class EnergyDistance(Objective):
    """The energy distance as the objective of a model: it can be sampled, but has no likelihood.

    Its "parameters" are the samples `[K, B, H, W, C]` that the head returns.

    Attributes:
      num_uniforms: random numbers that sampling one pixel uses.
    """

    metric = "energy_distance"
    num_uniforms = NUM_NOISE

    def __init__(self, num_levels: int = 256):
        self.num_levels = check_num_levels(num_levels)

    def loss(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        return energy_distance(images, parameters, sum_all=False)

    def sample(
        self,
        parameters: tf.Tensor,
        uniforms: tf.Tensor | None = None,
        quantize: bool = True,
        temperature: tf.Tensor | float = 1.0,
    ) -> tf.Tensor:
        """The first of the head's samples (official `sample_from_model`); arguments as of
        `Likelihood.sample`; `uniforms` and `temperature` are not used."""
        sample = parameters[0]
        if sample.dtype != tf.float64:
            sample = tf.cast(sample, tf.float32)
        return round_to_level(sample, self.num_levels) if quantize else sample
