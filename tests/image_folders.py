"""Image files and folders of them, for tests."""

import io
import struct
import zlib

import numpy as np
from PIL import Image
from small import random_levels

RGB = random_levels(12, 10, 3)
GREY = random_levels(12, 10, 1)
DEEP = random_levels(12, 10, 1, num_levels=65536).astype(np.uint16)


def encoded(image, kind="PNG", **options):
    """The bytes of an image file; `image` is levels `[H, W, C]` or a Pillow image."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    buffer = io.BytesIO()
    if kind == "WEBP":
        options.setdefault("lossless", True)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width, height, bits, colour, data=b""):
    """A PNG file of a header that says this, and data."""

    def part(name, content):
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = part(b"IHDR", header) + part(b"IDAT", zlib.compress(data)) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def rgba(opacity):
    return np.concatenate([RGB, np.broadcast_to(np.uint8(opacity), [12, 10, 1])], axis=-1)


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else encoded(content))


def split_folder(root, files, test=None):
    """Files in train/, and at least one in test/."""
    write(root, {f"train/{name}": content for name, content in files.items()})
    write(root, {f"test/{name}": c for name, c in (test or {"z.png": RGB}).items()})
    return f"folder:{root}"
