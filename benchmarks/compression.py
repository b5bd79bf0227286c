"""Sizes and seconds of the codec and of others, on images of a run's kind: one row a codec.

    python benchmarks/compression.py --workdir=runs/mnist --images=mnist:test --num_images=1000

Each codec gets the images one by one, and as one mosaic (a grid of all), so that headers do not
decide. What it gives back is compared with what went in. Seconds are those of the mosaic, for our
codec of all images in one file, after a first call that compiles.
"""

import argparse
import io
import math
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import imagecodecs
import numpy as np
import tensorflow as tf
from PIL import Image

from pixelcnn_tf.codec import Codec, Decoded, container
from pixelcnn_tf.codec.engine import GROUP, GROUP_PIXELS
from pixelcnn_tf.levels import levels_to_input
from train.data.image_sources import open_images
from train.run import Run

PNG_STRATEGIES, PNG_FILTERS = range(5), (8, 16, 32, 64, 128, 8 + 16 + 32 + 64 + 128)


def pillow(image, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, **options)
    return file.getvalue()


def open_pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def best_png(image):
    """The smallest of all strategies and filters at level 9."""
    if image.dtype == bool:
        return pillow(image, format="PNG", optimize=True)
    return min(
        (
            imagecodecs.png_encode(image, 9, strategy=strategy, filter=kind)
            for strategy in PNG_STRATEGIES
            for kind in PNG_FILTERS
        ),
        key=len,
    )


def rgb(image):
    """WebP knows no grey."""
    return np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image


def packed(image):
    """The raw values, of two levels eight in a byte."""
    return np.packbits(image).tobytes() if image.dtype == bool else image.tobytes()


def unpack(decode):
    def back(data, image):
        raw = decode(data)
        if image.dtype == bool:
            bits = np.unpackbits(np.frombuffer(raw, np.uint8))[: image.size]
            return bits.astype(bool).reshape(image.shape)
        return np.frombuffer(raw, image.dtype).reshape(image.shape)

    return back


def bytes_of(image):
    return image.astype(np.uint8) * 255 if image.dtype == bool else image


def like(image, decoded):
    """Decoded 0 and 255 as the booleans that they stand for."""
    return decoded > 127 if image.dtype == bool and decoded.dtype != bool else decoded


def by_bytes(encode, decode):
    """A codec of 8-bit images."""
    return (
        lambda image: encode(bytes_of(image)),
        lambda data, image: like(image, decode(data)),
    )


def codecs(binary):
    """Name -> (encode(image), decode(data, image))."""
    xz, zstd = imagecodecs.lzma_encode, imagecodecs.zstd_encode
    found = {
        "PNG, best of 30 settings" if not binary else "PNG, 1 bit": (
            best_png,
            lambda data, image: like(image, open_pillow(data)),
        ),
        "WebP lossless, method 6": (
            lambda image: pillow(
                rgb(bytes_of(image)), format="WEBP", lossless=True, quality=100, method=6
            ),
            lambda data, image: like(
                image, open_pillow(data)[..., 0] if image.ndim == 2 else open_pillow(data)
            ),
        ),
        "JPEG XL lossless, effort 9": by_bytes(
            lambda image: imagecodecs.jpegxl_encode(image, lossless=True, effort=9),
            imagecodecs.jpegxl_decode,
        ),
        "JPEG 2000, reversible": by_bytes(
            lambda image: imagecodecs.jpeg2k_encode(image, level=0, reversible=True),
            imagecodecs.jpeg2k_decode,
        ),
        "JPEG-LS": by_bytes(imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
        "xz -9e, raw values": (
            lambda image: xz(packed(image), 9),
            unpack(lambda data: imagecodecs.lzma_decode(data)),
        ),
        "zstd -22, raw values": (
            lambda image: zstd(packed(image), 22),
            unpack(lambda data: imagecodecs.zstd_decode(data)),
        ),
    }
    if binary:
        found["CCITT G4 (TIFF)"] = (
            lambda image: pillow(image, format="TIFF", compression="group4"),
            lambda data, image: open_pillow(data),
        )
    return found


def mosaic(images):
    """All images `[N, H, W(, C)]` as one, in a grid as square as N allows without gaps."""
    num = len(images)
    rows = max(n for n in range(1, math.isqrt(num) + 1) if num % n == 0)
    grid = images.reshape(rows, num // rows, *images.shape[1:])
    grid = np.moveaxis(grid, 2, 1)
    return np.ascontiguousarray(grid.reshape(rows * images.shape[1], -1, *images.shape[3:]))


def measure(encode, decode, image):
    """`(bytes, seconds to encode, seconds to decode)`."""
    begin = time.perf_counter()
    data = encode(image)
    between = time.perf_counter()
    back = decode(data, image)
    end = time.perf_counter()
    if not np.array_equal(back, image):
        raise AssertionError("not lossless")
    return len(data), between - begin, end - between


def row(name, *columns):
    print("| " + " | ".join([name, *columns]) + " |", flush=True)


def ours(model, images, batch_size):
    """Encodes and decodes; the row and what the acceptance asks for."""
    num_levels, num = model.num_levels, len(images)
    log_prob = tf.function(model.log_prob, reduce_retracing=True, autograph=False)

    def score():
        parts = range(0, num, batch_size)
        nats = [log_prob(levels_to_input(images[n : n + batch_size], num_levels)) for n in parts]
        return -np.concatenate(nats) / math.log(2.0) / 8.0

    def timed(function):
        begin = time.perf_counter()
        result = function()
        return result, time.perf_counter() - begin

    def encode(part):
        return b"".join(codec.write([Decoded(part, None, None)], batch_size))

    def decode(data):
        return np.concatenate([x.images for x in codec.read(io.BytesIO(data))])

    score()
    ideal, scoring = timed(score)
    codec = Codec(model)
    # Groups of as many images as in `images`: else what is timed would be compiled in it.
    group = min(GROUP, max(1, GROUP_PIXELS // (images.shape[1] * images.shape[2])), num)
    for count in {group, num % group} - {0}:
        decode(encode(images[:count]))
    data, encoding = timed(lambda: encode(images))
    back, decoding = timed(lambda: decode(data))
    assert np.array_equal(back, images), "not lossless"
    options = dict(batch_size=batch_size, jit_compile=False)  # as the codec
    model.sample(min(batch_size, num), seed=0, **options)
    _, sampling = timed(lambda: model.sample(num, seed=1, **options))
    single = np.array([len(encode(images[n : n + 1])) for n in range(num)])
    file = io.BytesIO(data)
    container.read_header(file)
    chunks = list(container.read_chunks(file))
    corrections = sum(len(chunk.corrections) for chunk in chunks)
    sub = images.size

    def columns(*sizes):
        return [f"{size:,.0f} ({8 * size / sub:.4f})" for size in sizes]

    row("**ours**", *columns(single.sum(), len(data)), f"{encoding:.2f}", f"{decoding:.2f}")
    row("the model's negative log-likelihood", *columns(ideal.sum(), ideal.sum()), "", "")
    return [
        f"one file over the negative log-likelihood: {len(data) / ideal.sum() - 1:+.3%}",
        f"one image alone: {(single - ideal).mean():.1f} bytes above on average, at most "
        f"{(single - ideal).max():.1f}",
        f"corrections: {corrections} in {sub:,} sub-pixels",
        f"encoding / scoring in float32 ({scoring:.2f} s): {encoding / scoring:.2f}",
        f"decoding / sampling in float32 ({sampling:.2f} s): {decoding / sampling:.2f}",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, help="folder of the run")
    parser.add_argument("--images", required=True, help="as of train.compress")
    parser.add_argument("--num_images", type=int, default=1000)
    parser.add_argument("--batch_size", type=int, default=64)
    options = parser.parse_args()
    opened = Run.open(options.workdir)
    config, model, step = opened.config, opened.model(), opened.step
    source = open_images("images", options.images, config.data_dir, options.num_images)
    images = np.stack([image.levels for image in source.read()])
    assert int(images.max()) < model.num_levels, "more levels than the model has"
    shape, params = images.shape[1:], model.count_params()
    print(
        f"{options.images}, {len(images):,} images of {shape}; {type(model).__name__}, {params:,}"
    )
    print(f"weights, step {step}; {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores\n")
    row("codec", "image by image", "one file / mosaic", "encode (s)", "decode (s)")
    row("---", "---", "---", "---", "---")
    facts = ours(model, images, options.batch_size)
    plain = images[..., 0] if shape[-1] == 1 else images
    if model.num_levels == 2:
        plain = plain.astype(bool)
    whole = mosaic(plain)
    for name, (encode, decode) in codecs(model.num_levels == 2).items():
        alone = sum(measure(encode, decode, image)[0] for image in plain)
        together, encoding, decoding = measure(encode, decode, whole)
        sizes = [f"{n:,} ({8 * n / images.size:.4f})" for n in (alone, together)]
        row(name, *sizes, f"{encoding:.2f}", f"{decoding:.2f}")
    print("\n" + "\n".join(f"- {fact}" for fact in facts))


if __name__ == "__main__":
    main()
