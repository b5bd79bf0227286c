"""Files and folders that cannot be read, or not whole: each is told in one sentence."""

import os
import re

import numpy as np
import pytest
from image_folders import DEEP, RGB, encoded, png, rgba, split_folder, write
from PIL import Image
from small import random_levels

from train.data import decode as image_file
from train.data import folder_reader as image_files
from train.data.load import load
from train.data.options import DataOptions
from train.errors import UserError


def cmyk():
    return Image.fromarray(RGB).convert("CMYK")


def floats():
    return Image.fromarray(RGB[..., 0].astype(np.float32))


def cut(kind, share):
    content = encoded(random_levels(32, 32, 3), kind)
    return content[: int(len(content) * share)]


def damaged():
    content = bytearray(encoded(RGB))
    content[60:70] = b"\xff" * 10
    return bytes(content)


BAD = {
    "empty": (b"", "empty"),
    "zeros": (b"\0" * 500, "only zeros"),
    "text": (b"this is no image", "by its content it is none of"),
    "text_as_jpg": (b"<html></html>" * 9, "by its content it is none of", "a.jpg"),
    "text_as_gif": (b"GIF89a", "not a readable image", "a.gif"),
    "npy": (b"\x93NUMPY\x01\x00v\x00", "by its content it is none of"),
    "pdf": (b"%PDF-1.4 ...", "by its content it is none of"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "by its content it is none of"),
    "ppm": (b"P6 1 1 255 abc", "by its content it is none of"),
    "ico": (b"\0\0\1\0\1\0\x10\x10", "by its content it is none of"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "none of"),
    "png_signature": (b"\x89PNG\r\n\x1a\n", "not a readable image"),
    "png_header": (encoded(RGB)[:33], "not a readable image"),
    "png_damaged": (damaged(), "not a readable image"),
    "png_no_data": (png(8, 8, 8, 2), "not a readable image"),
    "png_no_size": (png(0, 0, 8, 2), "not a readable image"),
    "png_odd_bits": (png(8, 8, 7, 2), "not a readable image"),
    "png_huge": (png(60000, 60000, 8, 2), "too many pixels"),
    "png_large": (png(10000, 10000, 8, 0), "pixels; at most"),
    "png_most": (png(2**31 - 1, 2**31 - 1, 8, 0), "too many pixels"),
    "png_rgb_16": (png(2, 1, 16, 2, b"\0" * 13), "has colours .* of 16 bits"),
    "png_la_16": (png(2, 1, 16, 4, b"\0" * 9), "of 16 bits"),
    "rgba": (encoded(rgba(9)), "has transparency"),
    "cmyk_jpg": (encoded(cmyk(), "JPEG"), "is CMYK", "a.jpg"),
    "cmyk_tif": (encoded(cmyk(), "TIFF"), "is CMYK", "a.tif"),
    "lab": (encoded(Image.fromarray(RGB).convert("LAB"), "TIFF"), r"is L\*a\*b\*", "a.tif"),
    "float": (encoded(floats(), "TIFF"), "is 32-bit floats", "a.tif"),
    "int": (encoded(floats().convert("I"), "TIFF"), "is 32-bit integers", "a.tif"),
    "1x1": (encoded(np.zeros([1, 1, 3], np.uint8)), "is 1x1, .*--resize=HxW or --crop=HxW"),
    "wide": (encoded(np.zeros([12, 11, 3], np.uint8)), "is 12x11, .*--resize=HxW or --crop=HxW"),
}
for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"):
    for share in (0.02, 0.6):
        BAD[f"{kind}_{share}"] = (cut(kind, share), "not a readable image", f"a.{kind.lower()}")


def one_sentence(error):
    text = str(error.value)
    assert "\n" not in text and "Traceback" not in text and "0x" not in text, text
    return text


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_told_in_a_sentence(tmp_path, case):
    content, message, name = (*BAD[case], "a.png")[:3]
    folder = split_folder(tmp_path, {"b.png": RGB, name: content, "c.png": RGB})
    with pytest.raises(UserError, match=f"{name}.*{message}") as error:
        load(folder)
    assert one_sentence(error).startswith(f"--dataset={folder}: ")


def make_fifo(path):
    os.mkfifo(path)


def make_link_to_itself(path):
    path.symlink_to(path)


def make_link_to_nothing(path):
    path.symlink_to("nowhere.png")


def make_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    "make, message",
    [
        (make_fifo, "not a file"),
        (make_device, "not a file"),
        (make_link_to_itself, "Too many levels of symbolic links"),
        (make_link_to_nothing, "No such file"),
    ],
)
def test_what_is_no_file_is_told(tmp_path, make, message):
    folder = split_folder(tmp_path, {"b.png": RGB})
    make(tmp_path / "train" / "a.png")
    with pytest.raises(UserError, match=f"1 of 3 files .*a.png: .*{message}") as error:
        load(folder)
    one_sentence(error)


def test_a_link_around_is_told(tmp_path):
    folder = split_folder(tmp_path, {"b.png": RGB})
    (tmp_path / "train" / "again").symlink_to(tmp_path)
    with pytest.raises(UserError, match="train/again: a link that leads back") as error:
        load(folder)
    one_sentence(error)
    (tmp_path / "train" / "again").unlink()
    other = tmp_path.parent / (tmp_path.name + "_other")
    write(other, {"c.png": RGB})
    (tmp_path / "train" / "more").symlink_to(other)  # no circle
    assert load(folder).train.num_examples == 2


def test_what_may_not_be_read_is_told(tmp_path, monkeypatch):
    folder = split_folder(tmp_path, {"a.png": RGB, "b.png": RGB})

    def refuse(path, *_):
        if "a.png" in str(path):
            raise PermissionError(13, "Permission denied", path)
        return open(path, *_)

    monkeypatch.setattr(image_file, "open", refuse, raising=False)
    with pytest.raises(UserError, match=r"a.png: not a readable image \(Permission") as error:
        load(folder)
    one_sentence(error)

    def closed(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)") as error:
        load(folder)
    one_sentence(error)


def test_broken_files_are_counted_or_left_out(tmp_path):
    folder = split_folder(
        tmp_path, {"a.png": b"", "b.png": RGB, "c.png": b"xx", "d.png": 255 - RGB}
    )
    with pytest.raises(UserError, match="2 of 5 files .*a.png: .*--skip_broken leaves"):
        load(folder)
    dataset = load(folder, options=DataOptions(skip_broken=True))
    np.testing.assert_array_equal(dataset.train.images, [RGB, 255 - RGB])
    assert re.search(r"2 broken file.s. are left out, such as .*a.png", dataset.warnings[0])
    for name in ("b.png", "d.png"):
        (tmp_path / "train" / name).write_bytes(b"")
    with pytest.raises(UserError, match="has no split train"):
        load(folder, options=DataOptions(skip_broken=True))


def test_kinds_that_cannot_be_made_alike(tmp_path, monkeypatch):
    folder = split_folder(tmp_path, {"a.png": DEEP}, {"b.png": DEEP})
    real = image_file.read_image
    monkeypatch.setattr(
        image_files,
        "read_image",
        lambda path, alpha: (
            real(path, alpha)._replace(num_levels=4096) if "a.png" in path else real(path, alpha)
        ),
    )
    with pytest.raises(UserError, match="a.png has 4096 levels, .*b.png has 65536") as error:
        load(folder)
    one_sentence(error)
