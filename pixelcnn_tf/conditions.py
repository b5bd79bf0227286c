"""Conditions computed from the image itself: its luminance (colourisation), a downsampled image
(super-resolution), or a vector from a Keras model.

The first two are images of their own, which may also come from files; a model is conditioned on
them as a map of the image's size.
"""

import re
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.levels import round_to_level
from pixelcnn_tf.renamed import renamed

ALLOWED = "grey, small:N with N from 2 to 64, or a Keras model from images to vectors"
LUMINANCE = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601, as Pillow's mode "L"
RENAMED_METHODS = {"of": "from_images", "to_h": "broadcast_to_image"}  # since version 0.2


@renamed(attributes=RENAMED_METHODS)
class MapCondition:
    """A conditioning map computed from the image.

    Args:
      name: "grey" or "small:N".
      channels: channels of the images.
      num_levels: levels per channel of the images and of the condition.

    Attributes:
      name: as given.
      channels: channels of the condition and of its map.
      factor: the downsampling factor, N or 1.

    Raises:
      ValueError: for another name, and for "grey" unless images have 3 channels.
    """

    def __init__(self, name: str, channels: int, num_levels: int):
        self.factor = factor_of(name)
        if name == "grey" and channels != 3:
            raise ValueError(f"condition={name!r}: images must have 3 channels, got {channels}")
        self.name = name
        self.channels = 1 if name == "grey" else channels
        self.num_levels = num_levels

    def shape(self, image_shape: Sequence[int]) -> tuple[int, int, int]:
        """`(h, w, D)` of the condition of images `(H, W, C)`."""
        height, width = (-(-size // self.factor) for size in image_shape[:2])
        return height, width, self.channels

    def from_images(self, images: tf.Tensor) -> tf.Tensor:
        """The condition `[B, h, w, D]` of images `[B, H, W, C]`, both level values in [-1, 1].

        "small" is the mean of N x N pixels (fewer at the lower and right edge), "grey" the
        luminance, both rounded to a level.
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

    def check(self, image_shape: Sequence[int]) -> None:
        """Does nothing: images of every size have a map."""

    def broadcast_to_image(self, condition: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
        """A condition `[B, h, w, D]` as a map `[B, H, W, D]` of the images' size: each value is
        repeated over its N x N pixels. Raises ValueError for a condition of another size."""
        condition = tf.convert_to_tensor(condition)
        if condition.shape.rank != 4 or tuple(condition.shape[1:]) != self.shape(image_shape):
            raise ValueError(
                f"condition of shape {condition.shape}: {self.name} must be [B, "
                f"{', '.join(map(str, self.shape(image_shape)))}]"
            )
        if self.factor > 1:
            condition = tf.repeat(tf.repeat(condition, self.factor, axis=1), self.factor, axis=2)
        return condition[:, : image_shape[0], : image_shape[1]]


@renamed(attributes=RENAMED_METHODS)
class Embedding:
    """A conditioning vector computed from the image by a fixed Keras model.

    Args:
      encoder: a Keras model from images `[B, H, W, C]`, float32 level values in [-1, 1], to
        vectors `[B, D]`. Its `trainable` becomes False.
      image_shape: `(H, W, C)`.

    Attributes:
      name: "embedding".
      channels: D.

    Raises:
      ValueError: if the encoder cannot be called on such images, or returns something else.
    """

    name = "embedding"

    def __init__(self, encoder: keras.Model, image_shape: Sequence[int]):
        self.encoder = encoder
        self.channels = _vector_size(encoder, image_shape)
        encoder.trainable = False

    def shape(self, image_shape: Sequence[int]) -> tuple[int]:
        """`(D,)`, for images of any size."""
        return (self.channels,)

    def from_images(self, images: tf.Tensor) -> tf.Tensor:
        """The vectors `[B, D]`, float32, of images `[B, H, W, C]`, level values in [-1, 1], without
        a gradient. Raises ValueError for images of another size."""
        images = tf.convert_to_tensor(images)
        _check_input(self.encoder, images.shape[1:])
        vectors = self.encoder(tf.cast(images, tf.float32), training=False)
        return tf.stop_gradient(tf.cast(vectors, tf.float32))

    def check(self, image_shape: Sequence[int]) -> None:
        """Raises ValueError if the encoder does not accept images of this size."""
        _vector_size(self.encoder, image_shape)

    def broadcast_to_image(self, condition: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
        """Returns the vectors."""
        return tf.convert_to_tensor(condition)


def _check_input(encoder, image_shape):
    """Raises ValueError if a Keras model is known to expect something else than such images."""
    images, shape = f"images [B, {', '.join(map(str, image_shape))}]", (None, *image_shape)
    taken = getattr(encoder, "input_shape", shape)  # unknown for some models
    if isinstance(taken, dict):
        taken = list(taken.values())
    if isinstance(taken, list):
        if len(taken) != 1:
            raise ValueError(
                f"condition: the Keras model must have one input, {images}; it has {len(taken)}"
            )
        (taken,) = taken
    if len(taken) != 4 or any(a not in (None, b) for a, b in zip(taken, shape, strict=True)):
        text = ", ".join("any" if size is None else str(size) for size in taken[1:])
        raise ValueError(f"condition: the Keras model must accept {images}, got [B, {text}]")


def _vector_size(encoder, image_shape):
    """Length of the vectors that a Keras model returns for such images, found by calling it."""
    _check_input(encoder, image_shape)
    try:
        given = encoder(tf.zeros([2, *image_shape]), training=False)
    except Exception as error:  # a Keras model may raise any
        images = f"images [B, {', '.join(map(str, image_shape))}]"
        raise ValueError(
            f"condition: the Keras model must accept {images}, it raised: {_line(error)}"
        ) from None
    vectors = tf.is_tensor(given) and given.dtype.is_floating and given.shape.rank == 2
    if not vectors or given.shape[0] != 2:
        found = "several outputs"
        if tf.is_tensor(given):
            found = f"{given.dtype.name} [{', '.join(['B', *map(str, given.shape[1:])])}]"
        raise ValueError(f"condition: the Keras model must return floats [B, D], got {found}")
    return given.shape[1]


def _line(error):
    """The informative line of a Keras error message."""
    lines = re.sub(r"\x1b\[\d*m", "", str(error)).strip().splitlines()
    useful = [line for line in lines if line and not line.startswith("Exception encountered")]
    return (useful or lines or [type(error).__name__])[0][:300]


def make_condition(
    condition: str | keras.Model | Mapping, image_shape: Sequence[int], num_levels: int
) -> MapCondition | Embedding:
    """Creates the condition for a model's argument `condition`.

    Args:
      condition: "grey" or "small:N"; a Keras model, or its serialised configuration.
      image_shape: `(H, W, C)`.
      num_levels: levels per channel of the images.

    Raises:
      ValueError: for any other condition, or one that does not fit the images.
    """
    if isinstance(condition, Mapping):
        condition = keras.saving.deserialize_keras_object(condition)
    if isinstance(condition, keras.Model):
        return Embedding(condition, image_shape)
    return MapCondition(condition, image_shape[-1], num_levels)


def factor_of(name: str) -> int:
    """The downsampling factor of a condition: N of "small:N", 1 of "grey".

    Raises:
      ValueError: for any other name.
    """
    small = re.fullmatch(r"small:([0-9]{1,2})", name) if isinstance(name, str) else None
    factor = int(small[1]) if small else 1
    if name != "grey" and not 2 <= factor <= 64:
        raise ValueError(f"condition={name!r}: must be {ALLOWED}")
    return factor
