"""The file format: a header, chunks of images of one size, an end.

    header   PCNN, format version, fingerprint of the model, num_levels, channels, CRC-32
    chunk    number of images (at least 1), length of the body, body, CRC-32 of all these
    end      0, number of images of the file

Integers are varints: 7 bits per byte, the lowest first. This module is independent of models and
coding.
"""

import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from pixelcnn_tf.codec.names import pack, unpack

MAGIC, VERSION = b"PCNN", 1
FINGERPRINT_BYTES = 8
DIGEST_BYTES = 6
# Flags of a chunk; the bits above are the number of check bytes per image.
HAS_NAMES, HAS_ARRAYS, CHECKS_SHIFT = 1, 2, 2
READ_BYTES = 2**20  # bytes read at a time
TRUNCATED = "truncated: the file ends before its last image"
ALTERED = "altered: the file is corrupt, or something follows its end"

NOT_THE_SAME = (
    "checksum mismatch: this machine computes other probabilities than the one that encoded the "
    "file, so nothing is returned"
)


class CodecError(ValueError):
    """The bytes cannot be decoded; the message gives the reason in one sentence."""


class Header(NamedTuple):
    fingerprint: bytes
    num_levels: int
    channels: int


class Chunk(NamedTuple):
    """Images of one size, coded together.

    Attributes:
      count: number of images.
      height, width: their size.
      group: number of images coded in parallel, pixel by pixel.
      digest: digest of the images and their labels.
      corrections: int `[M, 2]`, rows of (index of the binary decision, whether it is rounded down).
      stream: bytes of the range coder.
      names: names of the images, or None.
      arrays: float32 `[count, ...]`, conditions other than classes, or None.
      checks: bytes `[count, n]`, the first n of each image's CRC-32.
    """

    count: int
    height: int
    width: int
    group: int
    digest: bytes
    corrections: np.ndarray
    stream: bytes
    names: list | None = None
    arrays: np.ndarray | None = None
    checks: np.ndarray | None = None


def varint(number: int) -> bytes:
    """A non-negative integer as bytes."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _crc(data):
    return zlib.crc32(data).to_bytes(4, "little")


def header_bytes(header: Header) -> bytes:
    data = MAGIC + bytes([VERSION]) + header.fingerprint
    data += varint(header.num_levels) + bytes([header.channels])
    return data + _crc(data)


def chunk_bytes(chunk: Chunk) -> bytes:
    checks = 0 if chunk.checks is None else chunk.checks.shape[1]
    flags = HAS_NAMES * (chunk.names is not None) + HAS_ARRAYS * (chunk.arrays is not None)
    body = b"".join(map(varint, (chunk.height, chunk.width, chunk.group)))
    body += bytes([flags | checks << CHECKS_SHIFT]) + chunk.digest
    body += varint(len(chunk.corrections))
    last = 0
    for place, lower in chunk.corrections.tolist():
        body += varint((place - last) * 2 + lower)
        last = place
    if chunk.names is not None:
        packed = pack(chunk.names)
        body += varint(len(packed)) + packed
    if chunk.arrays is not None:
        packed = zlib.compress(chunk.arrays.astype("<f4").tobytes(), 9)
        shape = chunk.arrays.shape[1:]
        body += b"".join(map(varint, (len(shape), *shape, len(packed)))) + packed
    if checks:
        body += chunk.checks.astype(np.uint8).tobytes()
    body += chunk.stream
    data = varint(chunk.count) + varint(len(body)) + body
    return data + _crc(data)


def end_bytes(count: int) -> bytes:
    return varint(0) + varint(count)


class _Reading:
    """Reads a file and keeps the bytes read since the last `check`."""

    def __init__(self, file):
        self.file, self.seen = file, b""

    def take(self, size):
        # In parts: a corrupt length may exceed the memory.
        parts, left = [], size
        while left:
            parts.append(self.file.read(min(left, READ_BYTES)))
            left -= len(parts[-1])
            if not parts[-1]:
                raise CodecError(TRUNCATED)
        data = b"".join(parts)
        self.seen += data
        return data

    def varint(self):
        number, shift = 0, 0
        while True:
            (byte,) = self.take(1)
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
            if shift > 63:
                raise CodecError(ALTERED)

    def check(self):
        """Reads and compares the CRC-32 of the bytes read since the last check."""
        expected = _crc(self.seen)
        if self.take(4) != expected:
            raise CodecError(ALTERED)
        self.seen = b""


def read_header(file: BinaryIO) -> Header:
    """Reads the header.

    Raises:
      CodecError: if the file has another format or version, or is truncated or altered.
    """
    start = file.read(len(MAGIC))
    if start != MAGIC:
        if start and MAGIC.startswith(start):
            raise CodecError(TRUNCATED)
        raise CodecError("foreign: the file does not begin with PCNN")
    reading = _Reading(file)
    reading.seen = start
    (version,) = reading.take(1)
    if version != VERSION:
        raise CodecError(f"format version {version}: must be {VERSION}, or the file is altered")
    fingerprint = reading.take(FINGERPRINT_BYTES)
    num_levels, (channels,) = reading.varint(), reading.take(1)
    reading.check()
    return Header(fingerprint, num_levels, channels)


def read_chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Reads the chunks after the header, one at a time.

    Raises:
      CodecError: if the file is truncated or altered, or something follows its end.
    """
    total = 0
    while True:
        reading = _Reading(file)
        count = reading.varint()
        if count == 0:
            if reading.varint() != total or file.read(1):
                raise CodecError(ALTERED)
            return
        size = reading.varint()
        body = reading.take(size)
        reading.check()
        total += count
        yield _parse(count, body)


def _parse(count, data):
    body = _Reading(io.BytesIO(data))
    height, width, group = body.varint(), body.varint(), body.varint()
    (flags,) = body.take(1)
    digest = body.take(DIGEST_BYTES)
    corrections, last = [], 0
    for _ in range(body.varint()):
        entry = body.varint()
        last += entry >> 1
        corrections.append((last, entry & 1))
    names = arrays = checks = None
    if flags & HAS_NAMES:
        names = unpack(body.take(body.varint()))
    if flags & HAS_ARRAYS:
        shape = [body.varint() for _ in range(body.varint())]
        packed = zlib.decompress(body.take(body.varint()))
        arrays = np.frombuffer(packed, "<f4").reshape(count, *shape)
    if flags >> CHECKS_SHIFT:
        size = flags >> CHECKS_SHIFT
        checks = np.frombuffer(body.take(count * size), np.uint8).reshape(count, size)
    corrections = np.array(corrections, np.int64).reshape(-1, 2)
    stream = body.file.read()
    return Chunk(count, height, width, group, digest, corrections, stream, names, arrays, checks)
