"""PixelRNN with Diagonal BiLSTM layers (van den Oord et al. 2016a, section 3.2)."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.layers.masked_convolution import GroupedLayer, MaskedConv2D
from pixelcnn_tf.layers.shifted_convolutions import down_shift
from pixelcnn_tf.models.pixel_rnn.lstm import NUM_GATES, run_lstm
from pixelcnn_tf.models.residual_network import ResidualNetwork

KERNEL = 2  # of the column-wise state-to-state convolution


def skew(x):
    """Moves row i to the right by i: `[B, H, W, C]` -> `[B, H, W + H - 1, C]` (Figure 3).

    A diagonal of `x` becomes one column; the rest is zeros.
    """
    height, width, filters = x.shape[1:]
    x = tf.pad(x, [[0, 0], [0, 0], [0, height], [0, 0]])
    # Dropping one zero per row shifts each row by one more than the row above.
    x = tf.reshape(x, [-1, height * (width + height), filters])
    return tf.reshape(x[:, :-height], [-1, height, width + height - 1, filters])


def unskew(x, width):
    """The inverse of `skew`: `[B, H, width + H - 1, C]` -> `[B, H, width, C]`."""
    height, filters = x.shape[1], x.shape[-1]
    x = tf.reshape(x, [-1, height * (width + height - 1), filters])
    x = tf.pad(x, [[0, 0], [0, height], [0, 0]])
    return tf.reshape(x, [-1, height, width + height, filters])[:, :, :width]


@keras.saving.register_keras_serializable("pixelcnn_tf")
class DiagonalLSTM(GroupedLayer):
    """An LSTM along the diagonals, from the upper left corner to the lower right.

    The state of a pixel is computed from the states to the left and above, and from its own
    input (1x1 input-to-state convolution, masked). `[B, H, W, any]` -> `[B, H, W, filters]`.

    Args:
      filters: h.
      groups: channels of the image.
    """

    def __init__(self, filters, groups=1, **kwargs):
        super().__init__(filters, groups, **kwargs)
        self.input_to_state = MaskedConv2D(
            NUM_GATES * filters,
            (1, 1),
            groups=groups,
            parts=NUM_GATES,
            dtype=self.dtype_policy,
            name="input_to_state",
        )

    def build(self, _):
        # No bias: outside the image the gates of the skewed map, and so the states that enter the
        # image, are then zero.
        shape = [KERNEL * self.filters, NUM_GATES * self.filters]
        self.state_to_state = self.add_weight(shape=shape, name="state_to_state")

    def call(self, x):
        kernel = tf.cast(tf.convert_to_tensor(self.state_to_state), x.dtype)

        def convolve(h):  # [B, H, filters], the column before: row by row its pixel to the left
            above = tf.pad(h[:, :-1], [[0, 0], [1, 0], [0, 0]])
            return tf.tensordot(tf.concat([above, h], axis=-1), kernel, 1)

        gates = tf.transpose(skew(self.input_to_state(x)), [2, 0, 1, 3])  # [columns, B, H, 4F]
        h = tf.transpose(run_lstm(gates, convolve), [1, 2, 0, 3])
        return unskew(h, x.shape[2])


@keras.saving.register_keras_serializable("pixelcnn_tf")
class DiagonalBiLSTMBlock(GroupedLayer):
    """Both directions with a residual connection. `[B, H, W, 2 * filters]` -> the same shape.

    The right-to-left map depends on pixels to the right in its own row, so it is shifted down by
    one row before it is added.

    Args:
      filters: h.
      groups: channels of the image.
    """

    def __init__(self, filters, groups=1, **kwargs):
        super().__init__(filters, groups, **kwargs)
        options = dict(groups=groups, dtype=self.dtype_policy)
        self.to_right = DiagonalLSTM(filters, name="to_right", **options)
        self.to_left = DiagonalLSTM(filters, name="to_left", **options)
        self.bottleneck_out = MaskedConv2D(2 * filters, (1, 1), name="widen", **options)

    @property
    def widen(self):
        """The name of the layer in Keras files of version 0.2."""
        return self.bottleneck_out

    def call(self, x):
        right = self.to_right(x)
        left = tf.reverse(self.to_left(tf.reverse(x, axis=[2])), axis=[2])
        return x + self.bottleneck_out(right + down_shift(left))


@keras.saving.register_keras_serializable("pixelcnn_tf")
class DiagonalBiLSTM(ResidualNetwork):
    """PixelRNN with Diagonal BiLSTM layers.

    A pixel depends on all pixels before it except the last one of the row above, on which only the
    pixels near the right edge depend (BUILD_NOTES.md explains why).

    Args: see `ResidualNetwork`; `nr_resnet` is the number of BiLSTM layers.

    Example:
      >>> model = DiagonalBiLSTM((8, 8, 3), nr_resnet=2, nr_filters=8, num_head_filters=16)
      >>> model(tf.zeros([2, 8, 8, 3])).shape
      TensorShape([2, 8, 8, 768])
    """

    def __init__(self, image_shape: Sequence[int], nr_resnet: int = 12, **kwargs):
        super().__init__(image_shape, nr_resnet, **kwargs)

    def make_block(self):
        return DiagonalBiLSTMBlock(self.nr_filters, self.image_shape[-1], dtype=self.dtype_policy)
