"""Data-dependent initialisation (Salimans & Kingma 2016; official `init=True` pass)."""

import tensorflow as tf

from pixelcnn_tf.layers.dropout import Dropout
from pixelcnn_tf.models.pixelcnn_pp import ImagePass, add_ones_channel


def data_dependent_init(model, images, labels=None, dropout=True, seed=0, noise=None):
    """Sets g and b of every layer so that its pre-activation on this batch is normalised.

    The layers are set in the order of the forward pass, each seeing the already normalised
    output of those before it; afterwards every pre-activation of that pass has mean 0 and
    standard deviation `init_scale` per channel. V and hw stay as they are. Run it once, on a
    new model, outside `strategy.run` (inside, replicas with different data would diverge).

    Args:
      model: a `PixelCNNPlusPlus`.
      images: one batch `[B, H, W, C]`, floats in [-1, 1].
      labels: as for the model.
      dropout: apply the model's dropout in this pass, as the official `train.py` does.
      seed: for dropout and the energy head's noise.
      noise: instead of random noise for the energy head, `[K, B, H, W, 4]` in [-1, 1].

    Returns:
      The output of the pass, as `model(images)` would give it.

    Raises:
      ValueError: if images or labels do not fit the model.
    """
    images = tf.cast(model.check_images(images), model.compute_dtype)
    h = model.conditioning(labels)
    seeds = model.seeds_for(images, seed)
    drop = Dropout(model.dropout_p, seeds=seeds) if dropout and model.dropout_p > 0 else None
    if model.energy_distance and noise is None:
        noise = model.draw_noise(images, seeds)
    return model.walk(add_ones_channel(images), ImagePass(h, drop, noise, init=True))
