"""PixelCNN (van den Oord, Kalchbrenner, Kavukcuoglu 2016, section 3.5 and Table 1)."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.layers.masked_convolution import GroupedLayer, MaskedConv2D
from pixelcnn_tf.models.residual_network import ResidualNetwork


@keras.saving.register_keras_serializable("pixelcnn_tf", "PixelCNNResidualBlock")
class ResidualBlock(GroupedLayer):
    """The residual block of PixelCNN (Figure 5, left): 2h -> h -> h -> 2h, added to its input.

    `[B, H, W, 2 * filters]` -> the same shape.

    Args:
      filters: h.
      groups: channels of the image.
    """

    def __init__(self, filters, groups=1, **kwargs):
        super().__init__(filters, groups, **kwargs)
        options = dict(groups=groups, dtype=self.dtype_policy)
        # The layers' names order sums inside TensorFlow: they stay as they were.
        self.bottleneck_in = MaskedConv2D(filters, (1, 1), name="narrow", **options)
        self.conv = MaskedConv2D(filters, (3, 3), name="conv", **options)
        self.bottleneck_out = MaskedConv2D(2 * filters, (1, 1), name="widen", **options)

    # Attributes of version 0.2, by which Keras finds the weights in its files.

    @property
    def narrow(self):
        return self.bottleneck_in

    @property
    def widen(self):
        return self.bottleneck_out

    def call(self, x):
        y = self.bottleneck_in(tf.nn.relu(x))
        y = self.conv(tf.nn.relu(y))
        return x + self.bottleneck_out(tf.nn.relu(y))


@keras.saving.register_keras_serializable("pixelcnn_tf")
class PixelCNN(ResidualNetwork):
    """PixelCNN: masked convolutions only.

    Its receptive field has a blind spot (van den Oord et al. 2016b, section 2.1): 3x3 convolutions
    widen it to the right by only one column per row above.

    Args: see `ResidualNetwork`.

    Example:
      >>> model = PixelCNN((8, 8, 3), nr_resnet=2, nr_filters=8, num_head_filters=16)
      >>> model(tf.zeros([2, 8, 8, 3])).shape
      TensorShape([2, 8, 8, 768])
    """

    def __init__(self, image_shape: Sequence[int], nr_resnet: int = 15, **kwargs):
        super().__init__(image_shape, nr_resnet, **kwargs)

    def make_block(self):
        return ResidualBlock(self.nr_filters, self.image_shape[-1], dtype=self.dtype_policy)
