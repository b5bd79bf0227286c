"""PixelRNN with Row LSTM layers (van den Oord et al. 2016a, section 3.1)."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.layers.masked_convolution import GroupedLayer, MaskedConv2D
from pixelcnn_tf.models.pixel_rnn.lstm import NUM_GATES, run_lstm
from pixelcnn_tf.models.residual_network import ResidualNetwork

KERNEL = 3  # of the convolutions along a row, input-to-state and state-to-state


@keras.saving.register_keras_serializable("pixelcnn_tf")
class RowLSTMBlock(GroupedLayer):
    """An LSTM from the top row to the bottom, with a residual connection.

    A step is a whole row: the state of a pixel is computed from the three states above it
    (state-to-state, not masked) and from the inputs at the pixel and to its left (input-to-state,
    masked, computed for the whole image at once). `[B, H, W, 2 * filters]` -> the same shape.

    Args:
      filters: h.
      groups: channels of the image.
    """

    def __init__(self, filters, groups=1, **kwargs):
        super().__init__(filters, groups, **kwargs)
        options = dict(groups=groups, dtype=self.dtype_policy)
        self.input_to_state = MaskedConv2D(
            NUM_GATES * filters, (1, KERNEL), parts=NUM_GATES, name="input_to_state", **options
        )
        self.bottleneck_out = MaskedConv2D(2 * filters, (1, 1), name="widen", **options)

    @property
    def widen(self):
        """The name of the layer in Keras files of version 0.2."""
        return self.bottleneck_out

    def build(self, _):
        # No bias: the input-to-state convolution has one in the same sum.
        shape = [KERNEL, self.filters, NUM_GATES * self.filters]
        self.state_to_state = self.add_weight(shape=shape, name="state_to_state")

    def call(self, x):
        kernel = tf.cast(tf.convert_to_tensor(self.state_to_state), x.dtype)
        gates = tf.transpose(self.input_to_state(x), [1, 0, 2, 3])  # [H, B, W, 4 * filters]
        h = run_lstm(gates, lambda h: tf.nn.conv1d(h, kernel, 1, "SAME"))
        return x + self.bottleneck_out(tf.transpose(h, [1, 0, 2, 3]))


@keras.saving.register_keras_serializable("pixelcnn_tf")
class RowLSTM(ResidualNetwork):
    """PixelRNN with Row LSTM layers: the receptive field is a triangle above each pixel.

    Args: see `ResidualNetwork`; `nr_resnet` is the number of LSTM layers.

    Example:
      >>> model = RowLSTM((8, 8, 3), nr_resnet=2, nr_filters=8, num_head_filters=16)
      >>> model(tf.zeros([2, 8, 8, 3])).shape
      TensorShape([2, 8, 8, 768])
    """

    def __init__(self, image_shape: Sequence[int], nr_resnet: int = 12, **kwargs):
        super().__init__(image_shape, nr_resnet, **kwargs)

    def make_block(self):
        return RowLSTMBlock(self.nr_filters, self.image_shape[-1], dtype=self.dtype_policy)
