"""Maps that an image is conditioned on and that are made of the image itself: its luminance
(colourisation), the image reduced (super-resolution).

A condition is given as an image of its own, which may come from a file: grey, or small. A model
takes it as a map of the image's size.
"""

import re
from collections.abc import Sequence

import tensorflow as tf

from pixelcnn_tf.levels import round_to_level

TEXT = "grey, or small:N with N from 2 to 64"
LUMINANCE = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601, as Pillow converts to "L"


class Condition:
    """What an image is conditioned on.

    Args:
      name: "grey" or "small:N".
      channels: of the images.
      num_levels: levels per channel of the images, and of the condition.

    Attributes:
      name: as given.
      channels: of the condition and of its map.
      factor: how many times smaller the condition is than the image.

    Raises:
      ValueError: if there is no such condition, or not of such images.
    """

    def __init__(self, name: str, channels: int, num_levels: int):
        self.factor = factor_of(name)
        if name == "grey" and channels != 3:
            raise ValueError(f"condition={name!r}: images must have 3 channels, not {channels}")
        self.name = name
        self.channels = 1 if name == "grey" else channels
        self.num_levels = num_levels

    def shape(self, image_shape: Sequence[int]) -> tuple[int, int, int]:
        """`(h, w, D)` of the condition of images `(H, W, C)`."""
        height, width = (-(-size // self.factor) for size in image_shape[:2])
        return height, width, self.channels

    def of(self, images: tf.Tensor) -> tf.Tensor:
        """The condition `[B, h, w, D]` of images `[B, H, W, C]`, both values of levels in [-1, 1].

        "small" is the mean of N x N pixels, or of those that there are at the lower and right edge,
        rounded to a level; "grey" is the luminance, rounded.
        """
        images = tf.convert_to_tensor(images)
        if self.name == "grey":
            weights = tf.constant(LUMINANCE, images.dtype)
            reduced = tf.reduce_sum(images * weights, axis=-1, keepdims=True)
        else:
            _, height, width, _ = images.shape
            around = [[0, 0], [0, -height % self.factor], [0, -width % self.factor], [0, 0]]

            def mean(values):
                return tf.nn.avg_pool2d(tf.pad(values, around), self.factor, self.factor, "VALID")

            reduced = mean(images) / mean(tf.ones_like(images[:1, ..., :1]))
        return round_to_level(reduced, self.num_levels)

    def to_map(self, condition: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
        """A condition `[B, h, w, D]` as a map of the images' size, `[B, H, W, D]`: each value
        repeated over the pixels that it is of."""
        condition = tf.convert_to_tensor(condition)
        if self.factor > 1:
            condition = tf.repeat(tf.repeat(condition, self.factor, axis=1), self.factor, axis=2)
        return condition[:, : image_shape[0], : image_shape[1]]


def factor_of(name: str) -> int:
    """How many times smaller a condition is than its image.

    Raises:
      ValueError: if there is no such condition.
    """
    small = re.fullmatch(r"small:([0-9]{1,2})", name) if isinstance(name, str) else None
    factor = int(small[1]) if small else 1
    if name != "grey" and not 2 <= factor <= 64:
        raise ValueError(f"condition={name!r}: must be {TEXT}")
    return factor
