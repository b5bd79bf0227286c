"""What a model is trained for.

An `Objective` turns the network's output into a loss per image and into reported scores. A
`Likelihood` is an objective that gives every pixel a probability: it scores and samples pixels.
Trainer, evaluation, samplers and export use only these two interfaces.
"""

import math
from collections.abc import Sequence

import tensorflow as tf


def nats_to_bits(nats: tf.Tensor | float) -> tf.Tensor | float:
    """Converts nats to bits: `nats / ln 2`."""
    return nats / math.log(2.0)


def bits_per_dim(nats: tf.Tensor | float, image_shape: Sequence[int]) -> tf.Tensor | float:
    """Converts nats per image to bits per dimension (sub-pixel): `nats / (H W C ln 2)`."""
    return nats_to_bits(nats) / math.prod(image_shape)


class Objective:
    """A training loss and the scores that an evaluation reports.

    Attributes:
      metric: name of the main score.
      loss_metric: name of what `score` returns for a loss; `metric` unless a subclass differs.
      num_levels: number of levels per channel.
    """

    metric: str
    num_levels: int

    @property
    def loss_metric(self) -> str:
        return self.metric

    def loss(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """The training loss of each image, `[B]`.

        Args:
          images: `[B, H, W, C]`, level values in [-1, 1].
          parameters: the model's output.
        """
        raise NotImplementedError

    def score(self, loss: tf.Tensor | float, image_shape: Sequence[int]) -> tf.Tensor | float:
        """The reported form of a mean loss per image: the loss per sub-pixel."""
        return loss / math.prod(image_shape)

    def measures(self, images: tf.Tensor, parameters: tf.Tensor) -> dict:
        """What an evaluation averages over images: a dict of `[B, ...]` with the key "loss".
        Arguments as of `loss`."""
        return {"loss": self.loss(images, parameters)}

    def scores(self, means: dict, image_shape: Sequence[int]) -> dict:
        """The reported scores, name -> float, from the means of `measures`; contains `metric`."""
        return {self.metric: float(self.score(means["loss"], image_shape))}


class Likelihood(Objective):
    """A distribution over pixels; its loss is the negative log-likelihood.

    Attributes:
      num_parameters: channels of the network's output.
      num_uniforms: uniform random numbers that sampling one pixel uses.
    """

    metric = "bits_per_dim"
    num_parameters: int
    num_uniforms: int

    def log_prob(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """Log-probability of each pixel given its parameters, `[B, H, W]`, nats, float32."""
        raise NotImplementedError

    def loss(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """Nats per image, `[B]`; arguments as of `Objective.loss`."""
        return -tf.reduce_sum(self.log_prob(images, parameters), axis=[1, 2])

    def score(self, loss: tf.Tensor | float, image_shape: Sequence[int]) -> tf.Tensor | float:
        """Bits per dimension of nats per image."""
        return bits_per_dim(loss, image_shape)

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
          temperature: > 0; 1 is the model, smaller gives less varied samples.

        Returns:
          `[B, H, W, C]`, values in [-1, 1].
        """
        raise NotImplementedError


def require_likelihood(objective: Objective) -> Likelihood:
    """Returns `objective`. Raises ValueError unless it is a `Likelihood`."""
    if not isinstance(objective, Likelihood):
        name = type(objective).__name__
        raise ValueError(f"likelihood={name}: has no log-probability; a Likelihood is needed")
    return objective
