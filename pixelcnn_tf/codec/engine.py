"""Encoding and decoding of chunks: images of one size with the model's float64 copy."""

import hashlib
import zlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pixelcnn_tf.checks import require_integer
from pixelcnn_tf.codec.categorical import CategoricalPixels
from pixelcnn_tf.codec.coder import Decoder, Encoder
from pixelcnn_tf.codec.container import DIGEST_BYTES, NOT_THE_SAME, Chunk, CodecError, Header
from pixelcnn_tf.codec.float64_copy import copy_in, fingerprint, full_float32, uncertainty
from pixelcnn_tf.codec.mixture import MixturePixels
from pixelcnn_tf.codec.tree import Descent, decisions, depth
from pixelcnn_tf.levels import dtype_of_levels, level_values
from pixelcnn_tf.likelihoods.categorical import Categorical
from pixelcnn_tf.likelihoods.discretized_mix_logistic import DiscretizedMixLogistic
from pixelcnn_tf.sampling.steps import pixel_steps

DISTRIBUTIONS = {DiscretizedMixLogistic: MixturePixels, Categorical: CategoricalPixels}
CHUNK = 1024  # at most this many images share a stream
GROUP, GROUP_PIXELS = 128, 2**18  # at most this many images, and pixels in all, coded in parallel
SLAB = 2**17  # sub-pixels whose distributions are computed at a time
FLOAT32_IMAGES = 4  # images of a chunk for the float32 pass
CHECKED_FROM, MAX_CHECK = 400, 4  # bytes of an image per byte of its own check


class Engine:
    """A model prepared for coding: its float64 copy, fingerprint and compiled functions.

    Args:
      model: an `AutoregressiveModel`; its present weights are used.

    Raises:
      ValueError: unless its objective is one of `DISTRIBUTIONS`, and for a model with `condition`.
    """

    def __init__(self, model):
        kinds = [k for kind, k in DISTRIBUTIONS.items() if isinstance(model.likelihood, kind)]
        if not kinds:
            raise ValueError(
                f"model: its likelihood must be "
                f"{' or '.join(kind.__name__ for kind in DISTRIBUTIONS)}, got "
                f"{type(model.likelihood).__name__}"
            )
        if model.condition is not None:
            raise ValueError(
                f"model: must have condition=None, got {model.condition.name!r}; decoding an image "
                "would need its condition"
            )
        self.distribution = kinds[0]
        self.model, self.float64 = model, copy_in(model, "float64")
        self.float32 = None  # the encoder's copy in float32
        self.num_levels, self.channels = model.likelihood.num_levels, model.image_shape[-1]
        self.header = Header(fingerprint(model), self.num_levels, self.channels)
        self.values = level_values(self.num_levels)
        self.passes = {}

    # Labels

    def check_labels(self, labels, num: int):
        """`labels` as int32 `[num]`, as float32 `[num, ...]`, or None. Raises ValueError."""
        if labels is None:
            self.float64.conditioning(None, num)
            return None
        labels = np.asarray(labels)
        if labels.ndim == 0 or len(labels) != num:
            raise ValueError(f"labels of shape {labels.shape}: must be one per image, {num}")
        classes = labels.dtype.kind in "iu" and self.model.num_classes is not None
        return labels.astype(np.int32 if classes else np.float32)

    def _h(self, model, labels):
        return None if labels is None else model.conditioning(tf.constant(labels))

    # Encoding

    def parameters(self, images: np.ndarray, labels, float32: bool = False) -> np.ndarray:
        """The network's output for images `[B, H, W, C]` of level values, as float64; computed in
        float64 or, with `float32`, in float32."""
        if float32 and self.float32 is None:
            self.float32 = copy_in(self.float64, "float32")
        key = float32, images.shape[1:3]
        if key not in self.passes:
            model = (self.float32 if float32 else self.float64).at_size(*images.shape[1:3])
            self.passes[key] = tf.function(model, autograph=False, reduce_retracing=True)
        labels = None if labels is None else tf.constant(labels)
        with full_float32():
            return self.passes[key](tf.constant(images), labels).numpy().astype(np.float64)

    def uncertainty(self, images, labels) -> float:
        """See `float64_copy.uncertainty`."""
        given = images, labels
        return uncertainty(self.parameters(*given), self.parameters(*given, float32=True))

    def encode(
        self,
        levels: np.ndarray,
        labels=None,
        names=None,
        batch_size: int = 64,
        group: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Chunk:
        """Encodes images of one size, at most `CHUNK`.

        Args:
          levels: integers `[N, H, W, C]`, already checked.
          labels: the result of `check_labels`.
          names: strings, or None.
          batch_size: images per forward pass.
          group: images coded in parallel; None chooses by their size.
          progress: called with the number of images just encoded.
        """
        num, height, width, _ = levels.shape
        group = group or min(GROUP, max(1, GROUP_PIXELS // (height * width)), num)
        encoder, corrections, decided = Encoder(), [], 0
        arrays = labels if labels is not None and labels.dtype.kind == "f" else None
        if labels is not None and arrays is None:
            encoder.uniform(labels, self.model.num_classes)
        few = np.unique(np.linspace(0, num - 1, FLOAT32_IMAGES).astype(int))
        margin = self.uncertainty(self.values[levels[few]], None if labels is None else labels[few])
        for begin in range(0, num, group):
            parts = []
            for first in range(begin, min(begin + group, num), batch_size):
                part = slice(first, min(first + batch_size, begin + group, num))
                given = None if labels is None else labels[part]
                parts.append(self._decisions(levels[part], given, margin))
                if progress is not None:
                    progress(len(levels[part]))
            upper, probabilities, is_open, doubtful, lower = (
                np.concatenate(x, axis=-1) for x in zip(*parts, strict=True)
            )
            encoder.bits(upper[is_open], probabilities[is_open])
            places = np.flatnonzero(doubtful)
            corrections.append(np.stack([places + decided, lower.reshape(-1)[places]], axis=1))
            decided += upper.size
        stream = encoder.bytes()
        return Chunk(
            num,
            height,
            width,
            group,
            digest(levels, labels),
            np.concatenate(corrections).astype(np.int64),
            stream,
            names,
            arrays,
            image_checks(levels, len(stream)),
        )

    def _decisions(self, levels, labels, margin):
        """All binary decisions of a batch: five arrays `[H * W, C, depth, B]`."""
        batch, height, width, channels = levels.shape
        values = self.values[levels]
        parameters = self.parameters(values, labels)
        if not np.isfinite(parameters).all():
            raise ValueError("model: its output must be finite, got NaN or infinity")

        def by_pixel(x):
            return np.moveaxis(x.reshape(batch, height * width, -1), 0, 1)

        parameters, levels, values = map(by_pixel, (parameters, levels, values))
        shape = [height * width, channels, depth(self.num_levels), batch]
        out = [np.empty(shape, kind) for kind in (bool, np.float64, bool, bool, bool)]
        step = max(1, SLAB // (batch * max(1, parameters.shape[-1] // 8)))
        for first in range(0, height * width, step):
            slab = slice(first, first + step)
            flat = parameters[slab].reshape(-1, parameters.shape[-1])
            pixels = self.distribution(self.float64.likelihood, flat, margin)
            for channel in range(channels):
                pixels.select(channel)
                known = levels[slab, :, channel].reshape(-1).astype(np.int64)
                for number, decision in enumerate(decisions(pixels, known)):
                    for array, value in zip(out, decision, strict=True):
                        array[slab, channel, number] = value.reshape(-1, batch)
                pixels.set(known, values[slab, :, channel].reshape(-1))
        return out

    # Decoding

    def decode(
        self,
        chunk: Chunk,
        batch_size: int | None = None,
        method: str | None = None,
        jit_compile: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Decodes a chunk.

        Args:
          chunk: the chunk.
          batch_size: images per forward pass; None: all that are coded in parallel.
          method, jit_compile: see `pixel_steps`.
          progress: called with the number of images just decoded.

        Returns:
          `(levels [N, H, W, C], labels or None)`.

        Raises:
          CodecError: if the decoded images differ from the encoded ones.
        """
        model = self.float64.at_size(chunk.height, chunk.width)
        begin_steps = pixel_steps(model, method, jit_compile)
        decoder = Decoder(chunk.stream)
        labels = chunk.arrays
        if labels is None and self.model.num_classes is not None:
            labels = decoder.uniform(chunk.count, self.model.num_classes)
        corrections, groups = Corrections(chunk.corrections), []
        batch_size = batch_size or chunk.group
        for begin in range(0, chunk.count, chunk.group):
            num = min(chunk.group, chunk.count - begin)
            given = None if labels is None else labels[begin : begin + num]
            batches = []
            for first in range(0, num, batch_size):
                # The last batch is padded: another size would be compiled again.
                places = np.minimum(np.arange(first, first + min(batch_size, num)), num - 1)
                h = self._h(model, None if given is None else given[places])
                batches.append((places, begin_steps(h, len(places))))
            images = np.zeros([num, chunk.height, chunk.width, self.channels], np.float32)
            levels = np.zeros(images.shape, np.int64)
            for row in range(chunk.height):
                for column in range(chunk.width):
                    self._pixel(images, levels, row, column, batches, decoder, corrections)
            groups.append(levels.astype(dtype_of_levels(self.num_levels)))
            if progress is not None:
                progress(num)
        levels = np.concatenate(groups)
        self._check(chunk, levels, labels)
        return levels, labels

    def _pixel(self, images, levels, row, column, batches, decoder, corrections):
        """Decodes a pixel of a group, into `images` and `levels`."""
        num, passes, pixels = len(images), self.float64.passes_per_pixel, None
        for channel in range(self.channels):
            if channel < passes:
                parameters = np.empty([num, self.float64.likelihood.num_parameters])
                outputs = [step(images[p], row, column, channel) for p, step in batches]
                for (places, _), output in zip(batches, outputs, strict=True):
                    parameters[places] = output.numpy()
                pixels = self.distribution(self.float64.likelihood, parameters)
            pixels.select(channel)
            descent = Descent(num, self.num_levels)
            for _ in range(depth(self.num_levels)):
                counts = corrections.rounded(descent.scaled(pixels.below(descent.middle)))
                probabilities = descent.probabilities(counts)
                if descent.open.all():
                    upper = decoder.bits(probabilities)
                else:
                    upper = np.zeros(num, bool)
                    upper[descent.open] = decoder.bits(probabilities[descent.open])
                descent.decide(upper)
            levels[:, row, column, channel] = descent.low
            values = self.values[descent.low]
            images[:, row, column, channel] = values
            pixels.set(descent.low, values)

    def _check(self, chunk, levels, labels):
        """Raises CodecError unless the images match the chunk's checksums."""
        if chunk.checks is not None:
            found = image_checks(levels, 0, chunk.checks.shape[1])
            wrong = np.flatnonzero((found != chunk.checks).any(axis=-1))
            if len(wrong):
                name = chunk.names[wrong[0]] if chunk.names else f"image {wrong[0]} of the chunk"
                raise CodecError(f"{name}: {NOT_THE_SAME}")
        if digest(levels, labels) != chunk.digest:
            raise CodecError(NOT_THE_SAME)


class Corrections:
    """Rounds as the encoder did.

    Args:
      corrections: int `[M, 2]` of a `Chunk`.
    """

    def __init__(self, corrections: np.ndarray):
        self.places, self.lower = corrections[:, 0], corrections[:, 1]
        self.decided, self.next = 0, 0  # binary decisions, corrections so far

    def rounded(self, scaled: np.ndarray) -> np.ndarray:
        """The counts `[N]` of the next N binary decisions."""
        counts = np.floor(scaled)
        end = self.decided + len(scaled)
        while self.next < len(self.places) and self.places[self.next] < end:
            place = self.places[self.next] - self.decided
            counts[place] = np.rint(scaled[place]) - self.lower[self.next]
            self.next += 1
        self.decided = end
        return counts


def digest(levels: np.ndarray, labels) -> bytes:
    """The first bytes of the SHA-256 of the images and their labels."""
    sha = hashlib.sha256(levels.astype("<u2").tobytes())
    if labels is not None:
        sha.update(labels.astype("<f4" if labels.dtype.kind == "f" else "<i4").tobytes())
    return sha.digest()[:DIGEST_BYTES]


def image_checks(levels: np.ndarray, stream_bytes: int, size: int | None = None):
    """The first bytes of each image's CRC-32, uint8 `[N, size]`, or None.

    The default size is one byte per 400 bytes of an image, at most 4. Smaller images have none and
    are only covered by the chunk's digest.
    """
    if size is None:
        size = min(MAX_CHECK, stream_bytes // (CHECKED_FROM * len(levels)))
    if size == 0 or len(levels) == 1:
        return None
    rows = [zlib.crc32(image.astype("<u2").tobytes()).to_bytes(4, "little") for image in levels]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 4)[:, :size]


def check_levels(images, channels: int, num_levels: int) -> np.ndarray:
    """Images as an integer array `[N, H, W, C]`. Raises ValueError unless they are levels."""
    images = np.asarray(images)
    if images.dtype.kind not in "iu":
        raise ValueError(f"images of dtype {images.dtype}: must be integer levels")
    if images.ndim != 4 or images.shape[-1] != channels or 0 in images.shape[1:]:
        raise ValueError(f"images of shape {images.shape}: must be [N, H, W, {channels}]")
    if images.size and not 0 <= images.min() <= images.max() < num_levels:
        raise ValueError(
            f"images: must be levels in 0 ... {num_levels - 1}, got {images.min()} to "
            f"{images.max()}"
        )
    return images


def check_batch_size(batch_size: int | None) -> int | None:
    if batch_size is None:
        return None
    return require_integer("batch_size", batch_size, 1, ", or None")
