"""Files: `encode` and `decode`, and `Codec` for files larger than memory."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn_tf.codec import container
from pixelcnn_tf.codec.coder import Encoder
from pixelcnn_tf.codec.container import CodecError
from pixelcnn_tf.codec.engine import CHUNK, Engine, check_batch_size, check_levels
from pixelcnn_tf.levels import dtype_of_levels

Progress = Callable[[int], None]


class Decoded(NamedTuple):
    """Consecutive images of one size in a file.

    Attributes:
      images: integer levels `[N, H, W, C]`, uint8 up to 256 levels, else uint16.
      labels: classes int32 `[N]`, vectors or maps float32 `[N, ...]`, or None.
      names: N strings, or None.
    """

    images: np.ndarray
    labels: np.ndarray | None
    names: list | None


class Codec:
    """Encodes and decodes files with a model, in chunks of up to 1,024 images.

    Args:
      model: an `AutoregressiveModel` with a mixture or categorical likelihood and no `condition`;
        its present weights are used.

    Raises:
      ValueError: for any other model.
    """

    def __init__(self, model):
        self.engine = Engine(model)
        self.num_levels, self.channels = self.engine.num_levels, self.engine.channels

    def require_coder(self) -> None:
        """Raises ImportError, with the command to install it, if the range coder is missing."""
        Encoder()

    def write(
        self,
        parts: Iterable[Decoded],
        batch_size: int = 64,
        group: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[bytes]:
        """Yields the bytes of a file in parts.

        Args:
          parts: images; one part has one size and is in memory at a time.
          batch_size: images per forward pass.
          group: images coded in parallel, whose state the decoder keeps in memory; None: up to
            128, fewer for large images.
          progress: called with the number of images just encoded.

        Raises:
          ValueError: if images or labels do not fit the model.
        """
        engine, total = self.engine, 0
        batch_size = check_batch_size(batch_size) or 64
        yield container.header_bytes(engine.header)
        for images, labels, names in parts:
            images = check_levels(images, engine.channels, engine.num_levels)
            if names is not None and (
                len(names) != len(images) or "\0" in "".join(names) or not all(names)
            ):
                raise ValueError(
                    f"names: must be one per image, not empty, without NUL; got {len(names)} for "
                    f"{len(images)} images"
                )
            if not len(images):
                continue
            labels = engine.check_labels(labels, len(images))
            if labels is not None:  # raises ValueError for invalid labels
                engine.float64.at_size(*images.shape[1:3]).conditioning(tf.constant(labels))
            for begin in range(0, len(images), CHUNK):
                part = slice(begin, begin + CHUNK)
                chunk = engine.encode(
                    images[part],
                    None if labels is None else labels[part],
                    None if names is None else list(names[part]),
                    batch_size,
                    group,
                    progress,
                )
                total += chunk.count
                yield container.chunk_bytes(chunk)
        yield container.end_bytes(total)

    def _header(self, file):
        header = container.read_header(file)
        if header != self.engine.header:
            raise CodecError(
                "of another model: it was encoded with other weights or another configuration "
                f"(fingerprint {header.fingerprint.hex()}, this model has "
                f"{self.engine.header.fingerprint.hex()})"
            )

    def sizes(self, file: BinaryIO) -> dict[tuple[int, int], int]:
        """Counts the images of each `(height, width)` without decoding; rewinds the file.

        Raises:
          CodecError: if the file is foreign, truncated, altered, or of another model.
        """
        self._header(file)
        sizes = {}
        for chunk in container.read_chunks(file):
            size = chunk.height, chunk.width
            sizes[size] = sizes.get(size, 0) + chunk.count
        file.seek(0)
        return sizes

    def read(
        self,
        file: BinaryIO,
        batch_size: int | None = None,
        method: str | None = None,
        jit_compile: bool = False,
        progress: Progress | None = None,
    ) -> Iterator[Decoded]:
        """Decodes a file, one chunk at a time, and verifies its checksums.

        Args:
          file: open for reading bytes.
          batch_size: images per forward pass; independent of the encoder's; None: all images that
            are coded in parallel.
          method: "cached", "naive", or None for the fastest that the model supports.
          jit_compile: compile with XLA.
          progress: called with the number of images just decoded.

        Raises:
          CodecError: if the file is foreign, truncated, altered, or of another model, or if this
            machine computes other probabilities than the encoder's.
        """
        batch_size = check_batch_size(batch_size)
        self._header(file)
        for chunk in container.read_chunks(file):
            levels, labels = self.engine.decode(chunk, batch_size, method, jit_compile, progress)
            yield Decoded(levels, labels, chunk.names)


def encode(
    model,
    images: np.ndarray,
    labels=None,
    names=None,
    batch_size: int = 64,
    group: int | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Encodes images of one size.

    Args:
      model: an `AutoregressiveModel` with a likelihood.
      images: integer levels `[N, H, W, C]`, of any H and W.
      labels: see `ImageModel.conditioning`; they are stored.
      names: N strings to store, or None.
      batch_size, group, progress: see `Codec.write`.

    Raises:
      ValueError: if images or labels do not fit the model.
    """
    parts = [Decoded(images, labels, names)]
    return b"".join(Codec(model).write(parts, batch_size, group, progress))


def decode(
    model,
    data: bytes,
    batch_size: int | None = None,
    method: str | None = None,
    jit_compile: bool = False,
    progress: Progress | None = None,
) -> np.ndarray:
    """Decodes images of one size.

    Args:
      model: the model that encoded the images, with the same weights.
      data: the result of `encode`.
      batch_size, method, jit_compile, progress: see `Codec.read`.

    Returns:
      Integer levels `[N, H, W, C]`, uint8 up to 256 levels, else uint16.

    Raises:
      CodecError: see `Codec.read`.
      ValueError: if there are images of several sizes; use `Codec.read`.
    """
    codec = Codec(model)
    parts = codec.read(io.BytesIO(data), batch_size, method, jit_compile, progress)
    images = [part.images for part in parts]
    if len({part.shape[1:] for part in images}) > 1:
        raise ValueError("data: has images of several sizes; use Codec.read")
    if not images:
        return np.zeros([0, *model.image_shape], dtype_of_levels(codec.engine.num_levels))
    return np.concatenate(images)
