"""One image file as levels: PNG, JPEG, GIF, BMP, WebP and TIFF, read by Pillow.

Nothing is lost or changed in silence: what cannot be kept whole is refused, in a sentence.
"""

import io
import os
import stat
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from train.errors import UserError, reason

EXTENSIONS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")  # names of Pillow
MAX_PIXELS = 2**26  # of one image: a few bytes of header may promise billions
MAX_BYTES = 2**30  # of one file
GREY_MODES = ("1", "L", "LA", "La")
WIDE_MODES = ("I;16", "I;16B", "I;16L")
# Modes of Pillow that are no grey or RGB levels -> what they are.
OTHER_MODES = {
    "CMYK": "CMYK (colours of a printer); convert it to RGB",
    "LAB": "L*a*b* colours; convert it to RGB",
    "YCbCr": "YCbCr colours; convert it to RGB",
    "I": "32-bit integers; convert it to 16 or 8 bits",
    "F": "32-bit floats; convert it to 16 or 8 bits",
}
TIFF_BITS, TIFF_PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # tags, and a value of the second

# What Pillow warns of (damaged metadata and the like) either does no harm or ends in an error.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Picture(NamedTuple):
    """An image as it stands in its file.

    Attributes:
      levels: uint8 or uint16 `[H, W, C]`, C 1 or 3.
      num_levels: that of its kind of file: 2**bits, at most 256 for colours.
      frames: number of pictures in the file; `levels` is the first.
    """

    levels: np.ndarray
    num_levels: int
    frames: int = 1


def read_image(path: str, alpha: str = "", max_pixels: int = MAX_PIXELS) -> Picture:
    """Reads one file; EXIF's orientation is applied.

    Args:
      path: the file; what it holds decides, not its ending.
      alpha: what to do with transparency: "" refuse it (unless it is opaque throughout), "drop"
        leave it out, "white" or "black" lay the image on that ground.
      max_pixels: of the image; one of more is refused before it is unpacked.

    Raises:
      UserError: in one sentence that begins with the path, if it cannot be read whole.
    """
    try:
        return _read(path, alpha, max_pixels)
    except UserError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(_too_large(path, "has too many pixels", max_pixels)) from None
    except Image.UnidentifiedImageError:
        why = f"by its content it is none of {', '.join(EXTENSIONS)}, or of an unknown kind"
    except OSError as error:
        why = error.strerror or reason(error)
    except Exception as error:  # a damaged file can make Pillow raise almost anything
        why = reason(error)
    raise UserError(f"{path}: not a readable image ({why})") from None


def _too_large(path, what, max_pixels):
    return f"{path}: {what}; at most {max_pixels:,} are read, resize it beforehand"


def _read(path, alpha, max_pixels):
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: not a file")
    if status.st_size > MAX_BYTES:
        raise UserError(f"{path}: has {status.st_size:,} bytes, at most {MAX_BYTES:,} are read")
    with open(path, "rb") as file:
        content = file.read()
    if not content.strip(b"\0"):
        raise UserError(f"{path}: not a readable image ({'only zeros' if content else 'empty'})")
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            what = f"has {width} x {height} pixels"
            raise UserError(_too_large(path, what, max_pixels))
        if image.mode in OTHER_MODES and not (image.mode == "I" and image.format == "PNG"):
            raise UserError(f"{path}: is {OTHER_MODES[image.mode]}")
        bits = _bits(image, content)
        wide = image.mode in WIDE_MODES or image.mode == "I"
        if bits > 8 and not wide:
            raise UserError(
                f"{path}: has colours (or transparency) of {bits} bits, of which 8 would be lost; "
                "convert it to 8 bits"
            )
        frames = getattr(image, "n_frames", 1)
        white_is_zero = _tag(image, TIFF_PHOTOMETRIC) == WHITE_IS_ZERO
        upright = ImageOps.exif_transpose(image)
    if wide:
        if "transparency" in upright.info and alpha != "drop":
            raise UserError(_transparent(path, "--alpha=drop leaves it out"))
        levels = np.asarray(upright).astype(np.uint16)
        if white_is_zero:  # Pillow turns it only for 8 bits
            levels = (2**bits - 1) - levels
        return Picture(levels[..., None], 2**bits, frames)
    has_no_grey = image.mode == "P" or image.format == "WEBP"
    levels, num_levels = _narrow(path, upright, bits, alpha, has_no_grey)
    return Picture(levels, num_levels, frames)


def _tag(image, number):
    """A tag of a TIFF file, or None."""
    tags = getattr(image, "tag_v2", None) if image.format == "TIFF" else None
    return tags.get(number) if tags is not None else None


def _bits(image, content):
    """Bits of each value, as the file says; Pillow's modes do not."""
    if image.format == "PNG":
        return content[24]  # of the header IHDR, which is the first part of every PNG
    bits = _tag(image, TIFF_BITS)
    if bits is not None:
        return max(bits) if isinstance(bits, tuple) else int(bits)
    return 1 if image.mode == "1" else 8


def _transparent(path, advice):
    return f"{path}: has transparency, which the models do not know; {advice}"


def _narrow(path, image, bits, alpha, has_no_grey):
    """Levels `[H, W, C]` of at most 8 bits, and their number. What `has_no_grey` stores grey as
    colours that are alike."""
    grey = image.mode in GREY_MODES
    if image.has_transparency_data:
        colours = np.asarray(image.convert("RGBA"))
        colours, opacity = colours[..., :3], colours[..., 3:]
        if opacity.min() < 255:
            if not alpha:
                raise UserError(
                    _transparent(
                        path, "--alpha=drop leaves it out, --alpha=white or black fills it in"
                    )
                )
            if alpha != "drop":
                ground = {"white": 255, "black": 0}[alpha]
                parts = colours.astype(np.uint32) * opacity + ground * (255 - opacity.astype(int))
                colours = ((parts + 127) // 255).astype(np.uint8)
        bits = 8
    elif image.mode == "1":
        return np.asarray(image).astype(np.uint8)[..., None], 2
    elif grey:
        levels = np.asarray(image)[..., None]
        if bits in (2, 4):  # Pillow spreads them over 0 ... 255
            return levels // (255 // (2**bits - 1)), 2**bits
        return np.array(levels), 256
    else:
        colours = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    if has_no_grey:
        grey = (colours == colours[..., :1]).all()
    return np.array(colours[..., :1] if grey else colours), 256


def resize(levels: np.ndarray, size: tuple[int, int], num_levels: int) -> np.ndarray:
    """Levels `[h, w, C]` resized to `(H, W)`: Lanczos, which averages where it makes them smaller
    (antialiased), rounded to levels; the proportions are not kept."""
    if levels.shape[:2] == tuple(size):
        return levels
    height, width = size
    channels = [
        np.asarray(
            Image.fromarray(channel.astype(np.float32)).resize((width, height), Image.LANCZOS)
        )
        for channel in np.moveaxis(levels, -1, 0)
    ]
    resized = np.rint(np.stack(channels, axis=-1)).clip(0, num_levels - 1)
    return resized.astype(levels.dtype)
