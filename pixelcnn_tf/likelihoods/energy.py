"""The energy-distance variant: a head that maps noise to pixels, and its loss.

Official flag `energy_distance` (`model_spec`, `nn.energy_distance`). The network gives no
likelihood: each pixel's head turns noise into samples, and the loss compares them with the
data by the generalised energy distance 2 E|x - y|^1.5 - E|y - y'|^1.5 (Szekely & Rizzo).
"""

import math

import keras
import tensorflow as tf

from pixelcnn_tf.layers.nonlinearities import concat_elu
from pixelcnn_tf.layers.shifted_convolutions import Nin
from pixelcnn_tf.levels import round_to_level
from pixelcnn_tf.likelihoods.base import Likelihood

# All from the official code: model_spec ...
NUM_SAMPLES = 10  # samples drawn for each training image
NUM_NOISE = 4  # noise channels, uniform in [-1, 1]
NUM_HIDDEN = 64  # units of the head
OUTPUT_INIT_SCALE = 0.1  # init_scale of the head's last layer
# ... and nn.energy_distance.
PIXEL_SCALE = 127.5  # back to 8-bit intensities
POWER = 0.75  # of the squared distance, that is |.|^1.5
DISTANCE_EPSILON = 1e-10  # inside the power


def energy_distance(x, x_sample, sum_all=True):
    """Energy distance between images and samples, pixel by pixel (`nn.energy_distance`).

    Args:
      x: images `[B, H, W, C]` in [-1, 1].
      x_sample: K >= 2 samples for each image: `[K, B, H, W, C]` or a list of `[B, H, W, C]`.
      sum_all: sum over the batch too.

    Returns:
      float32 scalar, or `[B]` with `sum_all=False`, in (8-bit intensities)^1.5.

    Raises:
      ValueError: with fewer than 2 samples.
    """
    x = tf.convert_to_tensor(x)
    if x.dtype != tf.float64:
        x = tf.cast(x, tf.float32)
    samples = [tf.cast(sample, x.dtype) for sample in tf.unstack(tf.convert_to_tensor(x_sample))]
    if len(samples) < 2:
        raise ValueError(f"x_sample: {len(samples)} samples an image given, at least 2 needed")

    def distance(a, b):  # [B]
        square = tf.reduce_sum(tf.square(PIXEL_SCALE * (a - b)), axis=-1)
        return tf.reduce_sum(tf.pow(DISTANCE_EPSILON + square, POWER), axis=[1, 2])

    to_data = [distance(x, sample) for sample in samples]
    pairs = [distance(a, b) for i, a in enumerate(samples) for b in samples[i + 1 :]]
    result = 2.0 * tf.add_n(to_data) / len(to_data) - tf.add_n(pairs) / len(pairs)
    return tf.reduce_sum(result) if sum_all else result


@keras.saving.register_keras_serializable("pixelcnn_tf")
class EnergyHead(keras.layers.Layer):
    """Turns the horizontal stream and noise into samples of every pixel (`model_spec`).

    Args:
      channels: channels of the image.
    """

    def __init__(self, channels=3, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        dtype = self.dtype_policy
        self.nin_features = Nin(NUM_HIDDEN, dtype=dtype, name="nin_features")
        self.nin_noise = Nin(NUM_HIDDEN, dtype=dtype, name="nin_noise")
        self.nin_hidden = Nin(NUM_HIDDEN, dtype=dtype, name="nin_hidden")
        self.nin_out = Nin(channels, OUTPUT_INIT_SCALE, dtype=dtype, name="nin_out")

    def call(self, ul, noise, init=False):
        """Maps `ul` `[B, H, W, F]` and noise `[K, B, H, W, 4]` in [-1, 1], or `[K * B, H, W, 4]`
        as in the official code, to samples `[K, B, H, W, channels]` in (-1, 1)."""
        if noise.shape.rank == 5:
            num_samples = noise.shape[0]
            noise = tf.reshape(noise, [-1, *noise.shape[2:]])
        else:
            num_samples = noise.shape[0] // ul.shape[0]
        features = self.nin_features(tf.nn.elu(ul), init=init)
        features = tf.tile(features, [num_samples, 1, 1, 1])
        hidden = features + self.nin_noise(noise, init=init)
        hidden = self.nin_hidden(concat_elu(hidden), init=init)
        samples = tf.tanh(self.nin_out(concat_elu(hidden), init=init))
        return tf.reshape(samples, [num_samples, -1, *ul.shape[1:3], self.channels])

    def get_config(self):
        return super().get_config() | {"channels": self.channels}


class EnergyDistance(Likelihood):
    """The energy distance in the place of a `Likelihood`: a loss, but no log-probability.

    Its "parameters" are the samples `[K, B, H, W, C]` that the head made.
    """

    metric = "energy_distance"
    has_temperature = False
    num_parameters = None
    num_uniforms = NUM_NOISE

    def __init__(self, num_levels=256):
        self.num_levels = num_levels

    def log_prob(self, images, parameters):
        raise ValueError("a model with energy_distance=True has no likelihood, only samples")

    def loss(self, images, parameters):
        return energy_distance(images, parameters, sum_all=False)

    def score(self, loss, image_shape):
        """Energy distance a sub-pixel."""
        return loss / math.prod(image_shape)

    def sample(self, parameters, uniforms=None, quantize=True, temperature=1.0):
        """The first of the head's samples (official `sample_from_model`)."""
        sample = parameters[0]
        if sample.dtype != tf.float64:
            sample = tf.cast(sample, tf.float32)
        return round_to_level(sample, self.num_levels) if quantize else sample
