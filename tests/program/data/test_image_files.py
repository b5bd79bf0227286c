"""Folders of image files as people have them: what is read whole, and what is refused."""

import io
import os
import re
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small import random_levels

from train.data import image_file, image_files
from train.data.file_split import FileSplit
from train.data.image_file import read_image, resize
from train.data.load import load
from train.data.options import DataOptions
from train.errors import UserError

RGB = random_levels(12, 10, 3)
GREY = random_levels(12, 10, 1)
DEEP = random_levels(12, 10, 1, num_levels=65536).astype(np.uint16)
LOSSLESS = {"a.png": "PNG", "a.bmp": "BMP", "a.tif": "TIFF", "a.webp": "WEBP"}


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


@pytest.fixture
def reading(tmp_path):
    """Function that reads a file of these bytes."""

    def read(content, name="a.png", alpha=""):
        path = tmp_path / name
        path.write_bytes(content)
        return read_image(str(path), alpha)

    return read


# What is read


@pytest.mark.parametrize("image", [RGB, GREY], ids=["rgb", "grey"])
@pytest.mark.parametrize("name, kind", LOSSLESS.items())
def test_lossless_files_are_read_to_the_level(reading, image, name, kind):
    picture = reading(encoded(image, kind), name)
    np.testing.assert_array_equal(picture.levels, image)
    assert picture[1:] == (256, 1)


@pytest.mark.parametrize("kind", ["JPEG", "GIF"])
def test_lossy_files_are_read(reading, kind):
    flat = np.full([16, 16, 3], (200, 100, 50), np.uint8)
    levels = reading(encoded(flat, kind)).levels
    assert levels.shape == (16, 16, 3) and np.abs(levels.astype(int) - flat).max() < 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_of_grey_are_kept(reading, kind):
    picture = reading(encoded(DEEP, kind))
    assert picture.num_levels == 65536 and picture.levels.dtype == np.uint16
    np.testing.assert_array_equal(picture.levels, DEEP)


def test_tiff_whose_white_is_zero(reading):
    content = bytearray(encoded(DEEP, "TIFF"))
    entry = content.index(struct.pack("<HHI", 262, 3, 1))
    content[entry + 8] = 0
    np.testing.assert_array_equal(reading(bytes(content)).levels, 65535 - DEEP)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_of_grey_are_few_levels(reading, bits):
    row = 0b00011011_11100100.to_bytes(2, "big")
    picture = reading(png(16 // bits, 2, bits, 0, (b"\0" + row) * 2))
    digits = f"{int.from_bytes(row, 'big'):016b}"
    expected = [int(digits[i : i + bits], 2) for i in range(0, 16, bits)]
    assert picture.num_levels == 2**bits
    np.testing.assert_array_equal(picture.levels[..., 0], [expected] * 2)


def test_palettes_become_colours_or_grey(reading):
    image = Image.fromarray(RGB).quantize(16)
    np.testing.assert_array_equal(reading(encoded(image)).levels, np.asarray(image.convert("RGB")))
    grey = Image.fromarray(GREY[..., 0]).convert("P")
    np.testing.assert_array_equal(reading(encoded(grey, "GIF")).levels, GREY)


def test_exif_orientation_is_applied(reading):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    content = encoded(RGB, exif=exif)
    np.testing.assert_array_equal(reading(content).levels, np.rot90(RGB, -1))


def test_several_pictures_are_told(reading):
    frames = [Image.fromarray(GREY[..., 0]), Image.fromarray(255 - GREY[..., 0])]
    for kind in ("GIF", "TIFF", "PNG", "WEBP"):
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        picture = reading(content)
        assert picture.frames == 2
        np.testing.assert_array_equal(picture.levels, GREY)


def rgba(opacity):
    return np.concatenate([RGB, np.broadcast_to(np.uint8(opacity), [12, 10, 1])], axis=-1)


def test_transparency(reading):
    for image in (rgba(51), Image.fromarray(GREY[..., 0]).convert("LA")):
        if isinstance(image, Image.Image):
            image.putalpha(51)
        with pytest.raises(UserError, match="a.png: has transparency.* --alpha=drop"):
            reading(encoded(image))
    content = encoded(rgba(51))  # a fifth
    np.testing.assert_array_equal(reading(content, alpha="drop").levels, RGB)
    for alpha, ground in (("white", 255), ("black", 0)):
        expected = RGB * 0.2 + ground * 0.8
        np.testing.assert_allclose(reading(content, alpha=alpha).levels, expected, atol=0.5 + 1e-6)
    np.testing.assert_array_equal(reading(encoded(rgba(255))).levels, RGB)  # nothing to lose
    palette = Image.fromarray(RGB).quantize(16)
    with pytest.raises(UserError, match="has transparency"):
        reading(encoded(palette, transparency=0))
    with pytest.raises(UserError, match="has transparency"):
        reading(encoded(GREY, transparency=int(GREY[0, 0, 0])))


def test_resizing_averages_and_keeps_what_fits():
    assert resize(GREY, (12, 10), 256) is GREY
    stripes = np.tile(np.array([0, 65535], np.uint16), [32, 16])[..., None]
    small = resize(stripes, (8, 8), 65536)
    assert small.dtype == np.uint16 and np.ptp(small[:, 1:-1].astype(int)) < 8000
    assert abs(small.mean() - 32767) < 800  # without antialiasing 0 or 65535
    assert resize(RGB, (5, 7), 256).shape == (5, 7, 3)
    assert resize(GREY // 128, (40, 30), 2).max() == 1


# A folder


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


def test_every_kind_of_file_in_one_folder(tmp_path):
    frames = [Image.fromarray(255 - RGB)]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = np.rot90(RGB).copy()
    name = split_folder(
        tmp_path,
        {
            "rgb.png": RGB,
            "rgb.jpg": encoded(RGB, "JPEG"),
            "rgb.JPEG": encoded(RGB, "JPEG"),
            "rgb.bmp": encoded(RGB, "BMP"),
            "rgb.webp": encoded(RGB, "WEBP"),
            "rgb.tif": encoded(RGB, "TIFF"),
            "deep/er/rgb.tiff": encoded(RGB, "TIFF", compression="tiff_lzw"),
            "grey.png": GREY,
            "grey16.png": DEEP,
            "grey16.tif": encoded(DEEP, "TIFF"),
            "bits.png": Image.fromarray(GREY[..., 0] > 127)
            and encoded(Image.fromarray(GREY[..., 0] > 127)),
            "palette.png": encoded(Image.fromarray(RGB).quantize(16)),
            "first.gif": encoded(Image.fromarray(RGB), "GIF", save_all=True, append_images=frames),
            "turned.png": encoded(turned, exif=exif),
            "png_by_content.jpg": RGB,
            "opaque.png": encoded(rgba(255)),
            ".hidden.png": b"",
            "notes.txt": b"no image",
        },
    )
    dataset = load(name)
    assert dataset.image_shape == (12, 10, 3) and dataset.num_levels == 65536
    assert dataset.train.num_examples == 16 and dataset.num_classes is None
    names, _ = image_files.list_images(f"{tmp_path}/train")
    images = dict(zip(names, dataset.train.images, strict=True))
    for same in ("rgb.png", "rgb.bmp", "rgb.webp", "deep/er/rgb.tiff", "png_by_content.jpg"):
        np.testing.assert_array_equal(images[same], RGB * np.uint16(257))
    np.testing.assert_array_equal(images["turned.png"], RGB * np.uint16(257))
    np.testing.assert_array_equal(images["grey16.tif"], np.broadcast_to(DEEP, RGB.shape))
    told = "\n".join(dataset.warnings)
    for part in (
        "4 grey image(s)",
        "taken as RGB",
        "spread over the 65536",
        "first.gif",
        "notes.txt",
    ):
        assert part in told
    fewer = load(name, num_levels=256)
    assert fewer.train.images.dtype == np.uint8 and fewer.num_levels == 256
    np.testing.assert_array_equal(fewer.test.images[0], RGB)


def test_16_bit_folder(tmp_path):
    name = split_folder(tmp_path, {"a.png": DEEP, "b.png": DEEP[::-1]}, {"c.png": DEEP})
    dataset = load(name)
    assert dataset.num_levels == 65536 and dataset.warnings == ()
    np.testing.assert_array_equal(dataset.train.images, [DEEP, DEEP[::-1]])
    np.testing.assert_array_equal(load(name, num_levels=16).train.images[0], DEEP // 4096)
    batch = next(iter(dataset.test.in_order(2)))
    np.testing.assert_array_equal(batch["images"][0], DEEP)


def test_binary_files_are_two_levels(tmp_path):
    bits = Image.fromarray(GREY[..., 0] > 127)
    name = split_folder(tmp_path, {"a.png": encoded(bits)}, {"b.png": encoded(bits)})
    dataset = load(name)
    assert dataset.num_levels == 2 and dataset.warnings == ()
    np.testing.assert_array_equal(dataset.train.images[0], GREY > 127)


def test_classes_and_nested_folders(tmp_path):
    files = {
        f"{kind}/{deep}{i}.png": GREY for kind in "ab" for deep in ("", "x/") for i in range(30)
    }
    write(tmp_path, files)
    dataset = load(f"folder:{tmp_path}")
    assert dataset.num_classes == 2
    assert dataset.train.num_examples + dataset.test.num_examples == 120
    write(tmp_path, {"c.png": GREY})
    assert load(f"folder:{tmp_path}").num_classes is None
    write(tmp_path, {"train/c.png": GREY})
    with pytest.raises(UserError, match="folders of splits .a, b, train., but c.png in"):
        load(f"folder:{tmp_path}")


def test_validation_folder(tmp_path):
    name = split_folder(tmp_path, {"a.png": RGB, "b.png": RGB})
    assert load(name).validation is None
    write(tmp_path, {"val/c.png": 255 - RGB})
    dataset = load(name)
    np.testing.assert_array_equal(dataset.validation.images, [255 - RGB])
    dataset = load(name, options=DataOptions(eval_split="validation"))
    np.testing.assert_array_equal(dataset.test.images, [255 - RGB])
    assert dataset.scored == "validation"


def sizes(root):
    shapes = [(12, 10), (20, 30), (15, 16)]
    images = [random_levels(*shape, 3, seed=i) for i, shape in enumerate(shapes)]
    return images, split_folder(root, {f"{i}.png": x for i, x in enumerate(images)})


def test_mixed_sizes(tmp_path):
    images, name = sizes(tmp_path)
    with pytest.raises(UserError) as error:
        load(name)
    for part in ("test/z.png is 12x10", "train/1.png is 20x30", "--resize=HxW", "--crop=HxW"):
        assert part in str(error.value)
    resized = load(name, options=DataOptions(resize=(8, 9)))
    assert resized.image_shape == (8, 9, 3) and "resized to 8x9" in resized.note
    np.testing.assert_array_equal(resized.train.images[1], resize(images[1], (8, 9), 256))
    with pytest.raises(UserError, match="--crop=13x9: .* is 12x10; all images must"):
        load(name, options=DataOptions(crop=(13, 9)))
    both = load(name, options=DataOptions(resize=(8, 9), crop=(4, 4)))
    assert both.image_shape == (4, 4, 3) and "resized" in both.note and "central" in both.note


@pytest.mark.parametrize("in_memory", [True, False])
def test_crops_of_mixed_sizes(tmp_path, monkeypatch, in_memory):
    images, name = sizes(tmp_path)
    if not in_memory:
        monkeypatch.setattr(image_files, "IN_MEMORY_BYTES", 100)
    dataset = load(name, options=DataOptions(crop=(8, 6)))
    assert dataset.image_shape == dataset.train.image_shape == (8, 6, 3)
    assert isinstance(dataset.train, FileSplit) != in_memory
    centre = next(iter(dataset.train.in_order(3)))["images"].numpy()
    for crop, image in zip(centre, images, strict=True):
        top, left = (image.shape[0] - 8) // 2, (image.shape[1] - 6) // 2
        np.testing.assert_array_equal(crop, image[top : top + 8, left : left + 6])
    found = set()
    for epoch in range(8):
        for batch in dataset.train.epoch(epoch, 3, seed=1):
            for crop in batch["images"].numpy():
                found.add(place_of(crop, images))
    assert len(found) > 16  # of 24: they differ
    assert {number for number, *_ in found} == {0, 1, 2}


def place_of(crop, images):
    """Number of the image, and corner of the crop in it."""
    for number, image in enumerate(images):
        windows = np.lib.stride_tricks.sliding_window_view(image, crop.shape)[..., 0, :, :, :]
        same = np.argwhere((windows == crop).all(axis=(-3, -2, -1)))
        if len(same):
            return number, *same[0]
    raise AssertionError("the crop is of no image")


def test_crops_from_files_are_those_from_memory(tmp_path, monkeypatch):
    _, name = sizes(tmp_path)
    options = DataOptions(crop=(8, 6), random_flip=True)
    held = load(name, options=options)
    monkeypatch.setattr(image_files, "IN_MEMORY_BYTES", 100)
    read = load(name, options=options)
    for a, b in zip(held.train.epoch(2, 2, seed=3), read.train.epoch(2, 2, seed=3), strict=True):
        np.testing.assert_array_equal(a["images"], b["images"])


def test_large_folders_are_read_when_needed(tmp_path, monkeypatch):
    images = random_levels(9, 6, 5, 1)
    files = {f"{'ab'[i % 2]}/{i}.png": image for i, image in enumerate(images)}
    name = split_folder(tmp_path, files, {"a/z.png": images[0], "b/z.png": images[1]})
    held = load(name, num_levels=4)
    monkeypatch.setattr(image_files, "IN_MEMORY_BYTES", 100)
    dataset = load(name, num_levels=4)
    assert isinstance(dataset.train, FileSplit) and dataset.num_classes == 2
    for a, b in zip(held.train.epoch(1, 4, 1, 1), dataset.train.epoch(1, 4, 1, 1), strict=True):
        for key in ("images", "labels", "seeds"):
            np.testing.assert_array_equal(a[key], b[key])
    for a, b in zip(held.train.in_order(4), dataset.train.in_order(4), strict=True):
        np.testing.assert_array_equal(a["images"], b["images"])
    (tmp_path / "train/a/0.png").write_bytes(b"gone bad")
    with pytest.raises(tf.errors.OpError, match="UserError: .*0.png: not a readable image"):
        list(dataset.train.in_order(4))


# What is refused


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
