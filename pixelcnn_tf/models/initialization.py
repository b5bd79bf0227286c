"""Data-dependent initialisation (Salimans & Kingma 2016; official `init=True` pass)."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.random import Seed


def data_dependent_init(
    model: keras.Model,
    images: tf.Tensor,
    labels: tf.Tensor | None = None,
    seed: Seed = 0,
    dropout_masks: Sequence | None = None,
    noise: tf.Tensor | None = None,
) -> tf.Tensor:
    """Sets g and b of every layer so that its pre-activation on this batch is normalised.

    The layers are initialised in order during one forward pass, each on the normalised output of
    the layers before it. Then every pre-activation of this pass has mean 0 and standard deviation
    `init_scale` per channel. V and hw do not change. Dropout is on, as in the official `train.py`.
    Run it once, on a new model, outside `strategy.run` (inside, replicas with different data would
    diverge).

    Args:
      model: a `PixelCNNPlusPlus`.
      images: one batch `[B, H, W, C]`, floats in [-1, 1].
      labels: as for the model.
      seed: for dropout and the energy head's noise.
      dropout_masks: instead of random ones, see `PixelCNNPlusPlus.call`.
      noise: instead of random noise for the energy head, `[K, B, H, W, 4]` in [-1, 1].

    Returns:
      The output of the pass; `model(images, training=True)` would return the same afterwards.

    Raises:
      ValueError: if images or labels do not fit the model.
    """
    images = tf.convert_to_tensor(images)
    model.warn_if_unnormalized(images)
    return model.call(
        images,
        None if labels is None else tf.convert_to_tensor(labels),
        training=True,
        seed=seed,
        dropout_masks=dropout_masks,
        noise=noise,
        init=True,
    )
