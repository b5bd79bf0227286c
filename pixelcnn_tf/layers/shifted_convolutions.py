"""Causal convolutions by shifting: no masks, no wasted weights.

Two families, after the official `nn.py`:

- *down-shifted* layers form the vertical stream: an output at row i sees rows <= i of its
  input, columns j-1 ... j+1 (kernel 2x3);
- *down-right-shifted* layers form the horizontal stream: an output at (i, j) sees rows <= i
  and columns <= j (kernel 2x2).

Every layer maps `[B, H, W, C]` to `[B, H', W', filters]` and normalises its weights.
"""

import keras
import tensorflow as tf

from pixelcnn_tf.layers.weight_norm import WeightNormLayer


def down_shift(x):
    """Moves `[B, H, W, C]` one row down: row 0 becomes zeros, the last row is dropped."""
    return tf.pad(x[:, :-1], [[0, 0], [1, 0], [0, 0], [0, 0]])


def right_shift(x):
    """Moves `[B, H, W, C]` one column right: column 0 becomes zeros, the last is dropped."""
    return tf.pad(x[:, :, :-1], [[0, 0], [0, 0], [1, 0], [0, 0]])


class ShiftedConv2D(WeightNormLayer):
    """Base of the shifted convolutions.

    Args:
      filters: number of output channels.
      kernel_size: `(rows, columns)`.
      strides: the same step for rows and columns, 1 or 2.
      init_scale: see `WeightNormLayer`.
    """

    kernel_size = None  # default of the subclass

    def __init__(self, filters, kernel_size=None, strides=1, init_scale=1.0, **kwargs):
        super().__init__(filters, init_scale, **kwargs)
        self.kernel_size = tuple(kernel_size or type(self).kernel_size)
        self.strides = strides

    def column_margins(self):
        """Columns (left, right) of a kernel's reach beside its own column."""
        raise NotImplementedError

    def build(self, input_shape):
        shape = [*self.kernel_size, input_shape[-1], self.filters]
        self.add_weight_norm(shape, norm_axes=(0, 1, 2), filter_axis=3)

    def linear(self, x, kernel, bias):
        padding = [[0, 0], [self.kernel_size[0] - 1, 0], list(self.column_margins()), [0, 0]]
        # tf.pad, as in the official code: explicit padding inside tf.nn.conv2d takes up to twice
        # as long in the backward pass on a CPU (BUILD_NOTES.md).
        y = tf.nn.conv2d(tf.pad(x, padding), kernel, self.strides, "VALID")
        return tf.nn.bias_add(y, bias)

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size, "strides": self.strides}


@keras.saving.register_keras_serializable("pixelcnn_tf")
class DownShiftedConv2D(ShiftedConv2D):
    """Sees rows above and its own, columns to both sides (`nn.down_shifted_conv2d`)."""

    kernel_size = (2, 3)

    def column_margins(self):
        return (self.kernel_size[1] - 1) // 2, (self.kernel_size[1] - 1) // 2


@keras.saving.register_keras_serializable("pixelcnn_tf")
class DownRightShiftedConv2D(ShiftedConv2D):
    """Sees rows above and its own, columns to the left (`nn.down_right_shifted_conv2d`)."""

    kernel_size = (2, 2)

    def column_margins(self):
        return self.kernel_size[1] - 1, 0


class ShiftedConv2DTranspose(ShiftedConv2D):
    """Base of the transposed forms: `[B, H, W, C]` -> `[B, strides * H, strides * W, filters]`.

    The kernel is `[rows, columns, filters, C]`, its norm per output channel over axes 0, 1, 3
    (`nn.deconv2d`). The init pass takes its moments before cropping, as the official code.
    """

    def build(self, input_shape):
        shape = [*self.kernel_size, self.filters, input_shape[-1]]
        self.add_weight_norm(shape, norm_axes=(0, 1, 3), filter_axis=2)

    def linear(self, x, kernel, bias):
        batch, rows, columns = tf.shape(x)[0], x.shape[1], x.shape[2]
        output_shape = [
            batch,
            rows * self.strides + self.kernel_size[0] - 1,
            columns * self.strides + self.kernel_size[1] - 1,
            self.filters,
        ]
        y = tf.nn.conv2d_transpose(x, kernel, output_shape, self.strides, "VALID")
        return tf.nn.bias_add(y, bias)

    def crop(self, y):
        left, right = self.crop_columns()
        return y[:, : y.shape[1] - (self.kernel_size[0] - 1), left : y.shape[2] - right]

    def crop_columns(self):
        """Columns (left, right) cut from the full transposed convolution."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("pixelcnn_tf")
class DownShiftedConv2DTranspose(ShiftedConv2DTranspose):
    """Transposed form of the vertical stream's layer (`nn.down_shifted_deconv2d`)."""

    kernel_size = (2, 3)

    def crop_columns(self):
        return (self.kernel_size[1] - 1) // 2, (self.kernel_size[1] - 1) // 2


@keras.saving.register_keras_serializable("pixelcnn_tf")
class DownRightShiftedConv2DTranspose(ShiftedConv2DTranspose):
    """Transposed form of the horizontal stream's layer (`nn.down_right_shifted_deconv2d`)."""

    kernel_size = (2, 2)

    def crop_columns(self):
        return 0, self.kernel_size[1] - 1


@keras.saving.register_keras_serializable("pixelcnn_tf")
class Nin(WeightNormLayer):
    """1x1 convolution, "network in network" (`nn.nin`, `nn.dense`).

    `[B, H, W, C]` -> `[B, H, W, filters]`.
    """

    def build(self, input_shape):
        self.add_weight_norm([input_shape[-1], self.filters], norm_axes=(0,), filter_axis=1)

    def linear(self, x, kernel, bias):
        y = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), kernel)
        y = y if bias is None else tf.nn.bias_add(y, bias)
        return tf.reshape(y, [tf.shape(x)[0], *x.shape[1:-1], self.filters])
