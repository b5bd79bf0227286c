"""The objective of a VQ-VAE: `Reconstruction` is the network's output, `ReconstructionError` its
loss and scores.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from pixelcnn_tf.levels import check_num_levels, round_to_level
from pixelcnn_tf.likelihoods.base import Objective
from pixelcnn_tf.renamed import renamed

LEAST_ERROR = 1e-10  # bounds the PSNR of an exact reconstruction: 100 dB


class Reconstruction(NamedTuple):
    """The output of a VQ-VAE.

    Attributes:
      images: `[B, H, W, C]`, around [-1, 1], not rounded to levels.
      latents: the `pixelcnn_tf.layers.vector_quantizer.Quantized` vectors.
      variance: of the data, a scalar; the unit of the reconstruction error in the loss.
    """

    images: tf.Tensor
    latents: NamedTuple
    variance: tf.Tensor


@renamed({"nr_embeddings": "num_embeddings", "commitment": "commitment_cost"})
class ReconstructionError(Objective):
    """The loss of a VQ-VAE; its scores are mean squared error, PSNR and use of the codes.

    Its "parameters" are a `Reconstruction`. Scores are of the clipped and rounded image, on the
    scale where the range of the levels is 1: `psnr` is -10 log10 `mse`, in dB. `perplexity` is
    computed from the codes' frequencies over all scored images, 1 to K; `dead_codes` is the number
    of codes that occur in none of them.

    Args:
      num_levels: number of levels per channel.
      num_embeddings: K.
      commitment_cost: beta, weight of the commitment loss.
    """

    metric = "mse"
    loss_metric = "loss"

    def __init__(self, num_levels: int, num_embeddings: int, commitment_cost: float = 0.25):
        self.num_levels = check_num_levels(num_levels)
        self.num_embeddings = num_embeddings
        self.commitment_cost = commitment_cost

    def loss(self, images: tf.Tensor, parameters: Reconstruction) -> tf.Tensor:
        """Equation 3 of the paper, `[B]`: H W C times the mean squared error in units of the data's
        variance, plus the codebook loss, plus beta times the commitment loss."""
        error = tf.square(tf.cast(images, parameters.images.dtype) - parameters.images)
        error = tf.reduce_mean(error, axis=[1, 2, 3]) / parameters.variance
        latents = parameters.latents
        loss = error + latents.codebook_loss + self.commitment_cost * latents.commitment_loss
        return math.prod(images.shape[1:]) * loss

    def measures(self, images: tf.Tensor, parameters: Reconstruction) -> dict:
        """Loss and squared error of each image, `[B]`, and how often each code occurs in it,
        `[B, K]`."""
        found = tf.clip_by_value(parameters.images, -1.0, 1.0)
        error = (round_to_level(found, self.num_levels) - tf.cast(images, found.dtype)) / 2.0
        codes = parameters.latents.codes
        flat = tf.reshape(codes, [tf.shape(codes)[0], -1])
        size = self.num_embeddings
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
