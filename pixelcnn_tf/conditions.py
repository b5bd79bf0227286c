"""What an image is conditioned on and what is made of the image itself: its luminance
(colourisation), the image reduced (super-resolution), or a vector by a Keras model.

The first two are given as an image of their own, which may come from a file: grey, or small. A
model takes it as a map of the image's size.
"""

import re
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.levels import round_to_level

TEXT = "grey, small:N with N from 2 to 64, or a Keras model from images to vectors"
LUMINANCE = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601, as Pillow converts to "L"


class MapCondition:
    """A map that an image is conditioned on.

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

    def check(self, image_shape: Sequence[int]) -> None:
        """Images of every size have one."""

    def to_h(self, condition: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
        """A condition `[B, h, w, D]` as a map of the images' size, `[B, H, W, D]`: each value
        repeated over the pixels that it is of. Raises ValueError for one of another size."""
        condition = tf.convert_to_tensor(condition)
        if condition.shape.rank != 4 or tuple(condition.shape[1:]) != self.shape(image_shape):
            raise ValueError(
                f"condition of shape {condition.shape}: {self.name} of such images is [B, "
                f"{', '.join(map(str, self.shape(image_shape)))}]"
            )
        if self.factor > 1:
            condition = tf.repeat(tf.repeat(condition, self.factor, axis=1), self.factor, axis=2)
        return condition[:, : image_shape[0], : image_shape[1]]


class Embedding:
    """The vector of an image, by a Keras model: a fixed function, which is not trained.

    Args:
      encoder: a Keras model from images `[B, H, W, C]`, float32 values of levels in [-1, 1], to
        vectors `[B, D]`. Its `trainable` becomes False.
      image_shape: `(H, W, C)` of the images.

    Attributes:
      name: "embedding".
      channels: D.

    Raises:
      ValueError: if it cannot take such images, or gives something else.
    """

    name = "embedding"

    def __init__(self, encoder: keras.Model, image_shape: Sequence[int]):
        self.encoder = encoder
        self.channels = _vector_size(encoder, image_shape)
        encoder.trainable = False

    def shape(self, image_shape: Sequence[int]) -> tuple[int]:
        """`(D,)`, whatever the size of the images."""
        return (self.channels,)

    def of(self, images: tf.Tensor) -> tf.Tensor:
        """The vectors `[B, D]` of images `[B, H, W, C]`, values of levels in [-1, 1]; float32. No
        gradient flows through them. Raises ValueError for images of another size."""
        images = tf.convert_to_tensor(images)
        _check_input(self.encoder, images.shape[1:])
        vectors = self.encoder(tf.cast(images, tf.float32), training=False)
        return tf.stop_gradient(tf.cast(vectors, tf.float32))

    def check(self, image_shape: Sequence[int]) -> None:
        """Raises ValueError if images of this size have no vectors."""
        _vector_size(self.encoder, image_shape)

    def to_h(self, condition: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
        """The vectors as they are."""
        return tf.convert_to_tensor(condition)


def _check_input(encoder, image_shape):
    """Raises ValueError if a Keras model is known to take something else than such images."""
    images, shape = f"images [B, {', '.join(map(str, image_shape))}]", (None, *image_shape)
    taken = getattr(encoder, "input_shape", shape)  # of some models it is not known
    if isinstance(taken, dict):
        taken = list(taken.values())
    if isinstance(taken, list):
        if len(taken) != 1:
            raise ValueError(
                f"condition: the Keras model has {len(taken)} inputs, must have one, {images}"
            )
        (taken,) = taken
    if len(taken) != 4 or any(a not in (None, b) for a, b in zip(taken, shape, strict=True)):
        text = ", ".join("any" if size is None else str(size) for size in taken[1:])
        raise ValueError(f"condition: the Keras model takes [B, {text}], must take {images}")


def _vector_size(encoder, image_shape):
    """Length of the vectors that a Keras model gives of such images, by a trial."""
    _check_input(encoder, image_shape)
    try:
        given = encoder(tf.zeros([2, *image_shape]), training=False)
    except Exception as error:  # whatever is in it
        images = f"images [B, {', '.join(map(str, image_shape))}]"
        raise ValueError(
            f"condition: the Keras model cannot take {images} ({_line(error)})"
        ) from None
    vectors = tf.is_tensor(given) and given.dtype.is_floating and given.shape.rank == 2
    if not vectors or given.shape[0] != 2:
        found = "several outputs"
        if tf.is_tensor(given):
            found = f"{given.dtype.name} [{', '.join(['B', *map(str, given.shape[1:])])}]"
        raise ValueError(f"condition: the Keras model gives {found}, must give floats [B, D]")
    return given.shape[1]


def _line(error):
    """The line of Keras' text that says something."""
    lines = re.sub(r"\x1b\[\d*m", "", str(error)).strip().splitlines()
    told = [line for line in lines if line and not line.startswith("Exception encountered")]
    return (told or lines or [type(error).__name__])[0][:300]


def make_condition(
    condition: str | keras.Model | Mapping, image_shape: Sequence[int], num_levels: int
) -> MapCondition | Embedding:
    """The condition that a model's argument `condition` stands for: a name of a map; a Keras model,
    or its configuration as Keras has written it.

    Raises:
      ValueError: if there is no such condition, or not of such images.
    """
    if isinstance(condition, Mapping):
        condition = keras.saving.deserialize_keras_object(condition)
    if isinstance(condition, keras.Model):
        return Embedding(condition, image_shape)
    return MapCondition(condition, image_shape[-1], num_levels)


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
