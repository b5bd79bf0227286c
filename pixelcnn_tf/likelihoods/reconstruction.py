"""The error of a reconstruction: what an autoencoder has in the place of a likelihood.

`Reconstruction` is what the network puts out, `ReconstructionError` scores it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from pixelcnn_tf.levels import check_num_levels, round_to_level
from pixelcnn_tf.likelihoods.base import Likelihood

LEAST_ERROR = 1e-10  # for the PSNR of what is exact: 100 dB


class Reconstruction(NamedTuple):
    """What a VQ-VAE makes of images.

    Attributes:
      images: `[B, H, W, C]`, around [-1, 1], not rounded to levels.
      latents: the `pixelcnn_tf.layers.vector_quantizer.Quantized` vectors.
      variance: of the data, a scalar: the reconstruction's error is measured in it.
    """

    images: tf.Tensor
    latents: NamedTuple
    variance: tf.Tensor


class ReconstructionError(Likelihood):
    """Mean squared error, PSNR and use of the codes; a loss, but no log-probability.

    Its "parameters" are a `Reconstruction`. Scores are of the clipped and rounded image, on the
    scale where the range of the levels is 1: `psnr` is -10 log10 `mse`, in dB. `perplexity` is
    that of the codes' frequencies over all that is scored, 1 to K, and `dead_codes` are those that
    no image there has.

    Args:
      num_levels: number of levels per channel.
      nr_embeddings: K.
      commitment: beta, weight of the commitment loss.
    """

    metric = "mse"
    loss_metric = "loss"
    has_log_prob = False
    has_temperature = False
    num_parameters = None
    num_uniforms = 0

    def __init__(self, num_levels: int, nr_embeddings: int, commitment: float = 0.25):
        self.num_levels = check_num_levels(num_levels)
        self.nr_embeddings = nr_embeddings
        self.commitment = commitment

    def log_prob(self, images: tf.Tensor, parameters: Reconstruction) -> tf.Tensor:
        raise ValueError("a VQ-VAE has no likelihood; that of its codes is given by a prior")

    def loss(self, images: tf.Tensor, parameters: Reconstruction) -> tf.Tensor:
        """Equation 3 of the paper, `[B]`: H W C times the mean squared error in units of the data's
        variance, plus the codebook loss, plus beta times the commitment loss."""
        error = tf.square(tf.cast(images, parameters.images.dtype) - parameters.images)
        error = tf.reduce_mean(error, axis=[1, 2, 3]) / parameters.variance
        latents = parameters.latents
        loss = error + latents.codebook_loss + self.commitment * latents.commitment_loss
        return math.prod(images.shape[1:]) * loss

    def score(self, loss: tf.Tensor | float, image_shape: Sequence[int]) -> tf.Tensor | float:
        """The loss a sub-pixel."""
        return loss / math.prod(image_shape)

    def measures(self, images: tf.Tensor, parameters: Reconstruction) -> dict:
        """Of each image its loss and squared error `[B]`, and how often it has each code
        `[B, K]`."""
        found = tf.clip_by_value(parameters.images, -1.0, 1.0)
        error = (round_to_level(found, self.num_levels) - tf.cast(images, found.dtype)) / 2.0
        codes = parameters.latents.codes
        flat = tf.reshape(codes, [tf.shape(codes)[0], -1])
        size = self.nr_embeddings
        return {
            "loss": self.loss(images, parameters),
            "mse": tf.reduce_mean(tf.square(error), axis=[1, 2, 3]),
            "codes": tf.math.bincount(
                flat, minlength=size, maxlength=size, dtype=tf.float32, axis=-1
            ),
        }

    def scores(self, means: dict, image_shape: Sequence[int]) -> dict:
        frequencies = means["codes"] / means["codes"].sum()
        used = frequencies[frequencies > 0]
        entropy = -float((used * [math.log(each) for each in used]).sum())
        return {
            "mse": float(means["mse"]),
            "psnr": -10.0 * math.log10(max(float(means["mse"]), LEAST_ERROR)),
            "perplexity": math.exp(entropy),
            "dead_codes": len(frequencies) - len(used),
        }

    def sample(self, parameters, uniforms, quantize=True, temperature=1.0):
        raise ValueError("a VQ-VAE draws no images; a prior of its codes does")
