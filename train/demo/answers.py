"""The answers of the demo: completions of an image and their bits per pixel, compiled at start."""

import math
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn_tf import sampling
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from pixelcnn_tf.likelihoods.base import nats_to_bits
from pixelcnn_tf.models.image_model import AutoregressiveModel
from pixelcnn_tf.sampling.cached import CALLS_BEFORE_TRACING

COMPLETIONS = 8  # of each image: one batch, for which everything is traced


class Answer(NamedTuple):
    """Completions, or the image itself if nothing was missing: levels `[N, H, W, C]`, bits per
    pixel `[N, H, W]`, and the seconds of the computation."""

    images: np.ndarray
    bits: np.ndarray
    seconds: float

    def bits_per_dim(self) -> np.ndarray:
        """`[N]`."""
        return self.bits.sum(axis=(1, 2)) / math.prod(self.images.shape[1:])


class Answers:
    """Completes and scores images, `COMPLETIONS` at a time, with a model that has a likelihood."""

    def __init__(self, model: AutoregressiveModel):
        self.model = model
        signature = [tf.TensorSpec([COMPLETIONS, *model.image_shape], tf.float32)]
        if model.num_classes:
            signature.append(tf.TensorSpec([COMPLETIONS], tf.int32))

        def bits(images, labels=None):
            return -nats_to_bits(model.likelihood.log_prob(images, model(images, labels)))

        self._bits = tf.function(bits, input_signature=signature, autograph=False)

    def warm_up(self) -> float:
        """Compiles everything; returns the seconds of an answer."""
        levels = np.zeros(self.model.image_shape, np.int32)
        missing = np.zeros(self.model.image_shape[:2], bool)
        return [self(levels, missing, seed=n) for n in range(CALLS_BEFORE_TRACING + 1)][-1].seconds

    def __call__(
        self,
        levels: np.ndarray,
        known: np.ndarray,
        temperature: float = 1.0,
        label: int = 0,
        seed: int = 1,
    ) -> Answer:
        """Completes an image `[H, W, C]` where `known`, bool `[H, W]`, is False, and scores it."""
        begin, model = time.monotonic(), self.model
        labels = [] if not model.num_classes else [tf.fill([COMPLETIONS], label)]
        images = tf.repeat(levels_to_input(levels[None], model.num_levels), COMPLETIONS, 0)
        if not known.all():
            options = dict(temperature=temperature, batch_size=COMPLETIONS)
            images = sampling.complete(model, images, known, seed, *labels, **options)
        bits = self._bits(images, *labels).numpy().astype(np.float64)
        shown = 1 if known.all() else COMPLETIONS
        levels = input_to_levels(images[:shown], model.num_levels).numpy()
        return Answer(levels, bits[:shown], time.monotonic() - begin)
