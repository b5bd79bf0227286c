"""The masked convolution of PixelCNN and PixelRNN (van den Oord et al. 2016a, section 3.4)."""

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_tf.layers.hidden_kernels import HiddenKernel, mark_hidden

MASK_TYPES = ("A", "B")


def channel_groups(num, groups):
    """The group of each of `num` feature maps: `[num]`, ascending, as even as possible.

    With three groups the first third belongs to R, the second to G, the third to B.
    """
    return np.arange(num) * groups // num


def convolution_mask(kernel_size, mask_type, inputs, outputs):
    """The mask of a convolution: 1 where an output depends on an input.

    Inputs above the centre, or in its row to the left, are visible to all groups. At the centre,
    type A sees the groups before its own (G: R; B: R and G), and type B also its own group.

    Args:
      kernel_size: `(rows, columns)`, odd.
      mask_type: "A" or "B".
      inputs, outputs: the group of each input and output channel.

    Returns:
      float32 `[rows, columns, len(inputs), len(outputs)]` of zeros and ones.
    """
    rows, columns = kernel_size
    mask = np.zeros([rows, columns, len(inputs), len(outputs)], np.float32)
    mask[: rows // 2] = 1.0
    mask[rows // 2, : columns // 2] = 1.0
    before = np.less if mask_type == "A" else np.less_equal
    mask[rows // 2, columns // 2] = before(inputs[:, None], outputs[None, :])
    return mask


class GroupedLayer(keras.layers.Layer):
    """Base of layers that consist of masked convolutions.

    Args:
      filters: number of feature maps.
      groups: channels of the image; the feature maps are divided into this many groups.
    """

    def __init__(self, filters, groups=1, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.groups = groups

    def get_config(self):
        return super().get_config() | {"filters": self.filters, "groups": self.groups}


@keras.saving.register_keras_serializable("pixelcnn_tf")
class MaskedConv2D(keras.layers.Layer):
    """A convolution in which no output depends on later sub-pixels, nor (type A) on its own.

    `[B, H, W, C]` -> `[B, H, W, filters]`, zeros outside the image. Stride 1.

    Args:
      filters: number of output channels.
      kernel_size: `(rows, columns)`, odd.
      mask_type: "A" for the first layer, on the image; "B" for all others.
      groups: channels of the image; the feature maps are divided into this many groups (R, G, B).
      parts: number of concatenated outputs, each divided into groups: 4 for an LSTM's gates.

    Attributes:
      hidden: whether the layer is between the first layer and the head; set before `build`.

    Raises:
      ValueError: for an argument out of range.
    """

    hidden = True

    def __init__(self, filters, kernel_size, mask_type="B", groups=1, parts=1, **kwargs):
        super().__init__(**kwargs)
        if mask_type not in MASK_TYPES:
            raise ValueError(f"mask_type={mask_type!r}: must be 'A' or 'B'")
        kernel_size = tuple(kernel_size)
        if len(kernel_size) != 2 or any(size < 1 or size % 2 == 0 for size in kernel_size):
            raise ValueError(f"kernel_size={kernel_size!r}: must be two odd numbers")
        if filters % parts or filters // parts < groups:
            raise ValueError(
                f"filters={filters}: must be a multiple of {parts}, at least {groups} (one per "
                "channel of the image) in each part"
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.mask_type = mask_type
        self.groups = groups
        self.parts = parts

    def build(self, input_shape):
        inputs = channel_groups(input_shape[-1], self.groups)
        outputs = np.tile(channel_groups(self.filters // self.parts, self.groups), self.parts)
        self.mask = convolution_mask(self.kernel_size, self.mask_type, inputs, outputs)
        self.kernel = self.add_weight(shape=self.mask.shape, name="kernel")
        if self.hidden:
            fan_in = int(self.mask.any(axis=-1).sum())
            mark_hidden(
                self.kernel, HiddenKernel(3, fan_in, weight_normalized=False, mask=self.mask)
            )
        self.bias = self.add_weight(shape=[self.filters], initializer="zeros", name="bias")

    def call(self, x):
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), x.dtype) * tf.cast(self.mask, x.dtype)
        # Rows below the centre are masked and are not computed, nor are the columns to the right in
        # a kernel of one row.
        rows, columns = (size // 2 for size in self.kernel_size)
        right = columns if rows else 0
        kernel = kernel[: rows + 1, : columns + right + 1]
        x = tf.pad(x, [[0, 0], [rows, 0], [columns, right], [0, 0]])
        return tf.nn.conv2d(x, kernel, 1, "VALID") + tf.cast(self.bias, x.dtype)

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "mask_type": self.mask_type,
            "groups": self.groups,
            "parts": self.parts,
        }
