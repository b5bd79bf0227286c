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

    A pass of the network like any other: the layers are set in its order, each seeing the already
    normalised output of those before it; afterwards every pre-activation of that pass has mean 0
    and standard deviation `init_scale` per channel. V and hw stay as they are. The model's dropout
    is on, as in the official `train.py`. Run it once, on a new model, outside `strategy.run`
    (inside, replicas with different data would diverge).

    Args:
      model: a `PixelCNNPlusPlus`.
      images: one batch `[B, H, W, C]`, floats in [-1, 1].
      labels: as for the model.
      seed: for dropout and the energy head's noise.
      dropout_masks: instead of random ones, see `PixelCNNPlusPlus.call`.
      noise: instead of random noise for the energy head, `[K, B, H, W, 4]` in [-1, 1].

    Returns:
      The output of the pass, as `model(images, training=True)` would give it afterwards.

    Raises:
      ValueError: if images or labels do not fit the model.
    """
    images = tf.convert_to_tensor(images)
    model.watch_range(images)
    return model.call(
        images,
        None if labels is None else tf.convert_to_tensor(labels),
        training=True,
        seed=seed,
        dropout_masks=dropout_masks,
        noise=noise,
        init=True,
    )
