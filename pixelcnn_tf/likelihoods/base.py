"""What every model shares about its pixels: a likelihood scores and samples them.

A model gives, for every pixel, the parameters of a distribution over its value; a
`Likelihood` is that distribution. Trainer, evaluation, sampler and export know only this
interface.
"""

import math
from collections.abc import Sequence

import tensorflow as tf


def nats_to_bits(nats: tf.Tensor | float) -> tf.Tensor | float:
    """Converts nats to bits: `nats / ln 2`."""
    return nats / math.log(2.0)


def bits_per_dim(nats: tf.Tensor | float, image_shape: Sequence[int]) -> tf.Tensor | float:
    """Converts nats an image to bits a dimension (sub-pixel): `nats / (H W C ln 2)`."""
    return nats_to_bits(nats) / math.prod(image_shape)


class Likelihood:
    """A distribution over pixels.

    Attributes:
      metric: name of the score that is reported, "bits_per_dim" for a true likelihood.
      loss_metric: name of what `score` makes of a loss; None: `metric`.
      has_log_prob: whether it is one, so that `log_prob` can be asked for.
      has_temperature: whether `sample` takes a temperature other than 1.
      num_levels: number of levels per channel.
      num_parameters: channels of the network's output.
      num_uniforms: uniform random numbers that one pixel's sample consumes.
    """

    metric = "bits_per_dim"
    loss_metric = None
    has_log_prob = True
    has_temperature = True
    num_levels: int
    num_parameters: int | None
    num_uniforms: int

    def log_prob(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """Log-probability of each pixel given its parameters, `[B, H, W]`, nats, float32."""
        raise NotImplementedError

    def loss(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """The training loss of each image, `[B]`: nats for a true likelihood.

        Args:
          images: `[B, H, W, C]`, level values in [-1, 1].
          parameters: the model's output.
        """
        return -tf.reduce_sum(self.log_prob(images, parameters), axis=[1, 2])

    def score(self, loss: tf.Tensor | float, image_shape: Sequence[int]) -> tf.Tensor | float:
        """The reported score of a mean loss an image: bits/dim for a true likelihood."""
        return bits_per_dim(loss, image_shape)

    def measures(self, images: tf.Tensor, parameters: tf.Tensor) -> dict:
        """What an evaluation takes the mean of over images, a dict of `[B, ...]`, which has
        "loss". Arguments as those of `loss`."""
        return {"loss": self.loss(images, parameters)}

    def scores(self, means: dict, image_shape: Sequence[int]) -> dict:
        """The reported scores by name, floats, of the means of `measures`; has `metric`."""
        return {self.metric: float(self.score(means["loss"], image_shape))}

    def sample(
        self,
        parameters: tf.Tensor,
        uniforms: tf.Tensor,
        quantize: bool = True,
        temperature: tf.Tensor | float = 1.0,
    ) -> tf.Tensor:
        """Samples each pixel.

        Args:
          parameters: the model's output.
          uniforms: `[B, H, W, num_uniforms]`, uniform in [1e-5, 1 - 1e-5].
          quantize: round to the nearest level.
          temperature: > 0; 1 is the model, smaller is less varied.

        Returns:
          `[B, H, W, C]`, values in [-1, 1].
        """
        raise NotImplementedError
