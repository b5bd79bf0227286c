"""What the demo answers: completions of an image and what every pixel cost, compiled at start."""

import math
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn_tf import sampling
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from pixelcnn_tf.likelihoods.base import Likelihood, nats_to_bits
from pixelcnn_tf.models.image_model import AutoregressiveModel
from pixelcnn_tf.sampling.cached import CALLS_BEFORE_TRACING

COMPLETIONS = 8  # of each image: one batch, for which everything is traced


class Answer(NamedTuple):
    """Images and their cost.

    Attributes:
      images: levels `[N, H, W, C]`: completions, or the image itself if nothing was missing.
      bits: `[N, H, W]`, bits a pixel.
      seconds: that it took.
    """

    images: np.ndarray
    bits: np.ndarray
    seconds: float

    def bits_per_dim(self) -> np.ndarray:
        """`[N]`."""
        return self.bits.sum(axis=(1, 2)) / math.prod(self.images.shape[1:])


class Answers:
    """A model that completes and scores images, always `COMPLETIONS` at a time.

    Args:
      model: an `AutoregressiveModel` with a likelihood.
    """

    def __init__(self, model: AutoregressiveModel):
        self.model = model
        self.has_temperature = isinstance(model.likelihood, Likelihood)
        signature = [tf.TensorSpec([COMPLETIONS, *model.image_shape], tf.float32)]
        if model.num_classes:
            signature.append(tf.TensorSpec([COMPLETIONS], tf.int32))

        def bits(images, labels=None):
            return -nats_to_bits(model.likelihood.log_prob(images, model(images, labels)))

        self._bits = tf.function(bits, input_signature=signature, autograph=False)

    def warm_up(self) -> float:
        """Compiles all that an answer needs; returns the seconds that one takes then."""
        levels = np.zeros(self.model.image_shape, np.int32)
        missing = np.zeros(self.model.image_shape[:2], bool)
        for seed in range(1, CALLS_BEFORE_TRACING + 2):
            answer = self(levels, missing, seed=seed)
        return answer.seconds

    def __call__(
        self,
        levels: np.ndarray,
        known: np.ndarray,
        temperature: float = 1.0,
        label: int = 0,
        seed: int = 1,
    ) -> Answer:
        """Completes an image, and scores what comes of it.

        Args:
          levels: integers `[H, W, C]`.
          known: bool `[H, W]`, False where a pixel is to be drawn.
          temperature: above 0; 1 is the model.
          label: class, of a conditional model.
          seed: int.
        """
        begin = time.monotonic()
        labels = tf.fill([COMPLETIONS], label) if self.model.num_classes else None
        images = tf.repeat(levels_to_input(levels[None], self.model.num_levels), COMPLETIONS, 0)
        if not known.all():
            images = sampling.complete(
                self.model,
                images,
                known,
                seed,
                labels,
                temperature=temperature,
                batch_size=COMPLETIONS,
            )
        bits = self._bits(images) if labels is None else self._bits(images, labels)
        shown = 1 if known.all() else COMPLETIONS
        return Answer(
            input_to_levels(images[:shown], self.model.num_levels).numpy(),
            bits[:shown].numpy().astype(np.float64),
            time.monotonic() - begin,
        )
