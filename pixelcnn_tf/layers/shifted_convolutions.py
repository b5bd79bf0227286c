"""Causal convolutions by shifting instead of masks.

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


def window(x, row, column, height, width):
    """`x[:, row : row + height, column : column + width]` of `[B, H, W, C]`. The gradient of this
    operation is a padding, several times faster on a CPU than a strided slice's."""
    return tf.slice(x, [0, row, column, 0], [-1, height, width, -1])


def down_shift(x):
    """Moves `[B, H, W, C]` one row down: row 0 becomes zeros, the last row is dropped."""
    kept = window(x, 0, 0, x.shape[1] - 1, x.shape[2])
    return tf.pad(kept, [[0, 0], [1, 0], [0, 0], [0, 0]])


def right_shift(x):
    """Moves `[B, H, W, C]` one column right: column 0 becomes zeros, the last is dropped."""
    kept = window(x, 0, 0, x.shape[1], x.shape[2] - 1)
    return tf.pad(kept, [[0, 0], [0, 0], [1, 0], [0, 0]])


def padded_convolution(x, kernel, strides, padding):
    """The convolution of zero-padded `x` `[B, H, W, C]`.

    For stride 1 the gradients are custom, since TensorFlow's for explicit padding take up to twice
    as long on a CPU: the kernel's uses `tf.pad`, as in the official code; the gradient of `x` is a
    convolution with the kernel rotated by 180 degrees.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[rows, columns, C, C']`.
      strides: stride of rows and columns.
      padding: rows above, columns to the left, columns to the right.
    """
    above, left, right = padding
    around = [[0, 0], [above, 0], [left, right], [0, 0]]
    if strides != 1:
        return tf.nn.conv2d(tf.pad(x, around), kernel, strides, "VALID")

    @tf.custom_gradient
    def convolution(x, kernel):
        def gradient(upstream):
            rows, columns = (size - 1 for size in kernel.shape[:2])
            rotated = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
            opposite = [[0, 0], [rows - above, rows], [columns - left, columns - right], [0, 0]]
            of_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=tf.pad(x, around),
                filter_sizes=kernel.shape,
                out_backprop=upstream,
                strides=[1, 1, 1, 1],
                padding="VALID",
            )
            return tf.nn.conv2d(upstream, rotated, 1, opposite), of_kernel

        return tf.nn.conv2d(x, kernel, 1, around), gradient

    return convolution(x, kernel)


class ShiftedConv2D(WeightNormLayer):
    """Base of the shifted convolutions.

    Args:
      filters: number of output channels.
      kernel_size: `(rows, columns)`.
      strides: stride of rows and columns, 1 or 2.
      init_scale: see `WeightNormLayer`.
    """

    kernel_size = None  # default of the subclass

    def __init__(self, filters, kernel_size=None, strides=1, init_scale=1.0, **kwargs):
        super().__init__(filters, init_scale, **kwargs)
        self.kernel_size = tuple(kernel_size or type(self).kernel_size)
        self.strides = strides

    def column_margins(self):
        """Columns of the kernel to the (left, right) of the output's column."""
        raise NotImplementedError

    def build(self, input_shape):
        shape = [*self.kernel_size, input_shape[-1], self.filters]
        self.add_weight_norm(shape, norm_axes=(0, 1, 2), filter_axis=3)

    def linear(self, x, kernel, bias):
        padding = self.kernel_size[0] - 1, *self.column_margins()
        return tf.nn.bias_add(padded_convolution(x, kernel, self.strides, padding), bias)

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size, "strides": self.strides}


@keras.saving.register_keras_serializable("pixelcnn_tf")
class DownShiftedConv2D(ShiftedConv2D):
    """Sees its own row and rows above, columns on both sides (`nn.down_shifted_conv2d`)."""

    kernel_size = (2, 3)

    def column_margins(self):
        return (self.kernel_size[1] - 1) // 2, (self.kernel_size[1] - 1) // 2


@keras.saving.register_keras_serializable("pixelcnn_tf")
class DownRightShiftedConv2D(ShiftedConv2D):
    """Sees its own row and rows above, columns to the left (`nn.down_right_shifted_conv2d`)."""

    kernel_size = (2, 2)

    def column_margins(self):
        return self.kernel_size[1] - 1, 0


class ShiftedConv2DTranspose(ShiftedConv2D):
    """Base of the transposed forms: `[B, H, W, C]` -> `[B, strides * H, strides * W, filters]`.

    The kernel is `[rows, columns, filters, C]`, its norm per output channel over axes 0, 1, 3
    (`nn.deconv2d`). The init pass uses the moments before cropping, as the official code.
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
        height = y.shape[1] - (self.kernel_size[0] - 1)
        return window(y, 0, left, height, y.shape[2] - left - right)

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
        return tf.reshape(y, [-1, *x.shape[1:-1], self.filters])
