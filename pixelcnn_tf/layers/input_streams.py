"""The first layer of each stream, shifted so that no pixel depends on itself (`model_spec`)."""

import keras

from pixelcnn_tf.layers.shifted_convolutions import (
    DownRightShiftedConv2D,
    DownShiftedConv2D,
    down_shift,
    right_shift,
)


@keras.saving.register_keras_serializable("pixelcnn_tf")
class VerticalInput(keras.layers.Layer):
    """First layer of the vertical stream: an output at row i sees rows i-2 and i-1 of the image.

    Maps `[B, H, W, C + 1]` (image and channel of ones) to `[B, H, W, filters]`. The shift
    comes after the bias: row 0 is exactly zero.
    """

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.above = DownShiftedConv2D(filters, dtype=self.dtype_policy, name="above")
        self.above.hidden = False

    def build(self, x_shape):
        self.above.build(x_shape)

    def call(self, x, init=False):
        return down_shift(self.above(x, init=init))

    def get_config(self):
        return super().get_config() | {"filters": self.filters}


@keras.saving.register_keras_serializable("pixelcnn_tf")
class HorizontalInput(keras.layers.Layer):
    """First layer of the horizontal stream: sees the row above (1x3) and the left pixel (2x1).

    Maps `[B, H, W, C + 1]` (image and channel of ones) to `[B, H, W, filters]`. The shifts
    come after the biases: row 0 gets nothing from above, column 0 nothing from the left.
    """

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        dtype = self.dtype_policy
        self.above = DownShiftedConv2D(filters, (1, 3), dtype=dtype, name="above")
        self.left = DownRightShiftedConv2D(filters, (2, 1), dtype=dtype, name="left")
        self.above.hidden = self.left.hidden = False

    def build(self, x_shape):
        self.above.build(x_shape)
        self.left.build(x_shape)

    def call(self, x, init=False):
        return down_shift(self.above(x, init=init)) + right_shift(self.left(x, init=init))

    def get_config(self):
        return super().get_config() | {"filters": self.filters}
