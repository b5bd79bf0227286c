"""A walk of the network over whole images."""

import tensorflow as tf

from pixelcnn_tf.layers.gated_resnet import GatedResnet
from pixelcnn_tf.layers.heads import EnergyHead
from pixelcnn_tf.layers.recomputation import recomputed


def add_ones_channel(images):
    """Appends the channel of ones that tells the image from its padding (`model_spec`)."""
    return tf.concat([images, tf.ones_like(images[..., :1])], axis=-1)


class ImagePass:
    """Walks the network over whole images: the `run` of `PixelCNNPlusPlus.walk`.

    Args:
      h: conditioning vector `[B, num_classes]`, or None.
      dropout: a `Dropout`, or None.
      noise: noise of the energy head, or None.
      init: run the data-dependent initialisation of each layer before it is applied.
      remat: keep only the inputs of each gated residual block for the backward pass, which
        computes its inside again.
    """

    def __init__(self, h=None, dropout=None, noise=None, init=False, remat=False):
        self.h = h
        self.dropout = dropout
        self.noise = noise
        self.init = init
        self.remat = remat

    def __call__(self, layer, x, a=None):
        if isinstance(layer, GatedResnet):
            dropout = None if self.dropout is None else self.dropout.block()
            if self.remat:
                return recomputed(layer, dropout, x, a, self.h)
            return layer(x, a=a, h=self.h, dropout=dropout, init=self.init)
        if isinstance(layer, EnergyHead):
            return layer(x, noise=self.noise, init=self.init)
        return layer(x, init=self.init)
