"""The forward pass of PixelCNN++ over whole images."""

import tensorflow as tf

from pixelcnn_tf.layers.gated_resnet import GatedResnet
from pixelcnn_tf.layers.heads import EnergyHead
from pixelcnn_tf.layers.nonlinearities import LazyActivation
from pixelcnn_tf.layers.recomputation import recomputed


def add_ones_channel(images):
    """Appends the channel of ones that distinguishes the image from its padding (`model_spec`)."""
    return tf.concat([images, tf.ones_like(images[..., :1])], axis=-1)


def extend(images, multiple):
    """Pads images `[..., H, W, C]` at the bottom and right, with zeros, to a height and width
    divisible by `multiple`. After `add_ones_channel` this is ordinary padding. It lies below the
    image, or to the right in the same rows, so no pixel depends on it."""
    height, width = images.shape[-3:-1]
    missing = -height % multiple, -width % multiple
    if not any(missing):
        return images
    around = [[0, 0]] * (images.shape.rank - 3)
    return tf.pad(images, [*around, [0, missing[0]], [0, missing[1]], [0, 0]])


def cut(extended, height, width):
    """Crops `[..., H', W', C]`, of the size after `extend`, to the size of the images."""
    if tuple(extended.shape[-3:-1]) == (height, width):
        return extended
    return extended[..., :height, :width, :]


class ImagePass:
    """Runs the network on whole images: the `run` of `PixelCNNPlusPlus.walk`.

    Every layer's output is a `LazyActivation`: its nonlinearity, an input of up to three blocks, is
    computed once.

    Args:
      nonlinearity: nonlinearity of the residual blocks.
      h: conditioning vector `[B, num_classes]`; or a tuple of maps `[B, H, W, D]`, one per stage;
        or None.
      dropout: a `Dropout`, or None.
      noise: noise of the energy head, or None.
      init: run the data-dependent initialisation of each layer before it is applied.
      remat: keep only the inputs of each gated residual block for the backward pass, which
        recomputes the block.
    """

    def __init__(self, nonlinearity, h=None, dropout=None, noise=None, init=False, remat=False):
        self.nonlinearity = nonlinearity
        self.h = h
        # By size, which identifies the stage of a block.
        self.maps = {m.shape[1:3]: m for m in h} if isinstance(h, tuple) else None
        self.dropout = dropout
        self.noise = noise
        self.init = init
        self.remat = remat

    def lazy(self, raw):
        return LazyActivation(raw, self.nonlinearity)

    def __call__(self, layer, x, a=()):
        if isinstance(layer, GatedResnet):
            return self.lazy(self._block(layer, x, a))
        if isinstance(layer, EnergyHead):
            return self.lazy(layer(x.raw, noise=self.noise, init=self.init))
        return self.lazy(layer(x.raw, init=self.init))

    def _block(self, layer, x, a):
        dropout = None if self.dropout is None else self.dropout.block()
        raw = tuple(part.raw for part in a)
        h = self.h if self.maps is None else self.maps[x.raw.shape[1:3]]
        if self.remat:
            return recomputed(layer, dropout, x.raw, raw, h)
        activated = x.activated, tuple(part.activated for part in a)
        options = dict(dropout=dropout, init=self.init, activated=activated)
        return layer(x.raw, a=raw, h=h, **options)
