"""The complexity of an image: its size under a lossless coder.

After Serra et al. 2020, "Input complexity and out-of-distribution detection with
likelihood-based generative models". The coder is that inside a PNG: each row filtered by what
stands before it, then deflate, but without the file's header and checksums, which for small images
weigh more than the image.
"""

import zlib

import numpy as np


def complexity_bits(levels: np.ndarray, num_levels: int) -> int:
    """Bits of an image under the best of PNG's filters and deflate.

    A sub-pixel is a byte, above 256 levels two. Of up to 16 levels, 1, 2 or 4 bits a sub-pixel
    packed into bytes are tried too, as PNG packs them.

    Args:
      levels: integers `[H, W, C]`, 0 ... num_levels - 1.
      num_levels: number of levels.
    """
    candidates = list(_filtered(levels, num_levels))
    bits = (num_levels - 1).bit_length()
    for width in (1, 2, 4):
        if bits <= width:
            candidates.append(_packed(levels, width))
            break
    return 8 * min(len(_deflate(candidate)) for candidate in candidates)


def _deflate(data):
    """Deflate alone, without the header and checksum of zlib."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def _filtered(levels, num_levels):
    """The bytes of the image after each of PNG's five filters."""
    height, width, channels = levels.shape
    size = 1 if num_levels <= 256 else 2  # bytes a sub-pixel; the filters work on bytes
    rows = np.ascontiguousarray(levels.astype("u1" if size == 1 else ">u2"))
    image = rows.view(np.uint8).reshape(height, width, channels * size).astype(np.int16)
    around = np.pad(image, [[1, 0], [1, 0], [0, 0]])
    left, above, above_left = around[1:, :-1], around[:-1, 1:], around[:-1, :-1]
    distances = [abs(left + above - above_left - each) for each in (left, above, above_left)]
    is_left = (distances[0] <= distances[1]) & (distances[0] <= distances[2])
    paeth = np.where(is_left, left, np.where(distances[1] <= distances[2], above, above_left))
    for guess in (0, left, above, (left + above) // 2, paeth):
        yield ((image - guess) % 256).astype(np.uint8).tobytes()


def _packed(levels, width):
    """The sub-pixels, each row's `width` bits each, as bytes."""
    flat = levels.reshape(len(levels), -1).astype(np.uint8)
    bits = np.unpackbits(flat[..., None], axis=-1)[..., -width:]
    return np.packbits(bits.reshape(len(levels), -1), axis=-1).tobytes()
