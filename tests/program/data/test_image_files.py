"""Folders of image files as people have them: what is read whole, and what is refused."""

import struct

import numpy as np
import pytest
import tensorflow as tf
from image_folders import DEEP, GREY, RGB, encoded, png, rgba, split_folder, write
from PIL import Image
from small import random_levels

from train.data import folder_reader as image_files
from train.data.decode import read_image, resize
from train.data.file_split import FileSplit
from train.data.load import load
from train.data.options import DataOptions
from train.errors import UserError

LOSSLESS = {"a.png": "PNG", "a.bmp": "BMP", "a.tif": "TIFF", "a.webp": "WEBP"}


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
    fewer = load(name, options=DataOptions(quantize=256))
    assert fewer.train.images.dtype == np.uint8 and fewer.num_levels == 256
    np.testing.assert_array_equal(fewer.eval.images[0], RGB)


def test_16_bit_folder(tmp_path):
    name = split_folder(tmp_path, {"a.png": DEEP, "b.png": DEEP[::-1]}, {"c.png": DEEP})
    dataset = load(name)
    assert dataset.num_levels == 65536 and dataset.warnings == ()
    np.testing.assert_array_equal(dataset.train.images, [DEEP, DEEP[::-1]])
    np.testing.assert_array_equal(
        load(name, options=DataOptions(quantize=16)).train.images[0], DEEP // 4096
    )
    batch = next(iter(dataset.eval.in_order(2)))
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
    assert dataset.train.num_examples + dataset.eval.num_examples == 120
    write(tmp_path, {"c.png": GREY})
    assert load(f"folder:{tmp_path}").num_classes is None
    write(tmp_path, {"train/c.png": GREY})
    with pytest.raises(UserError, match="folders of splits .a, b, train., but c.png in"):
        load(f"folder:{tmp_path}")


def test_a_part_of_a_split_has_images_of_all_classes(tmp_path):
    files = {f"train/{kind}/{i}.png": np.full_like(GREY, i) for kind in "abc" for i in range(40)}
    write(tmp_path, files)
    dataset = load(f"folder:{tmp_path}")  # without a test split
    assert dataset.eval.num_examples == 12 and len(set(dataset.eval.labels)) == 3
    assert dataset.parts_by_hash and "scored on the last 10 % of train" in dataset.note
    assert dataset.note.endswith("parts of splits in the order of the hashes of the file names")
    parts = DataOptions(train_split="train[:50%]", eval_split="train[50%:]")
    dataset = load(f"folder:{tmp_path}", options=parts)
    found = set()
    for split in (dataset.train, dataset.eval):
        assert np.bincount(split.labels).min() > 12 and split.num_examples == 60
        found |= set(zip(split.labels, split.images[:, 0, 0, 0], strict=True))
    assert len(found) == 120  # each image is in one of them
    assert not load(f"folder:{tmp_path}", options=DataOptions(eval_split="train")).parts_by_hash


def test_validation_folder(tmp_path):
    name = split_folder(tmp_path, {"a.png": RGB, "b.png": RGB})
    assert load(name).validation is None
    write(tmp_path, {"val/c.png": 255 - RGB})
    dataset = load(name)
    np.testing.assert_array_equal(dataset.validation.images, [255 - RGB])
    dataset = load(name, options=DataOptions(eval_split="validation"))
    np.testing.assert_array_equal(dataset.eval.images, [255 - RGB])
    assert dataset.eval_name == "validation"


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
    with pytest.raises(UserError, match="crop=13x9: .* is 12x10; all images must"):
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
    held = load(name, options=DataOptions(quantize=4))
    monkeypatch.setattr(image_files, "IN_MEMORY_BYTES", 100)
    dataset = load(name, options=DataOptions(quantize=4))
    assert isinstance(dataset.train, FileSplit) and dataset.num_classes == 2
    for a, b in zip(held.train.epoch(1, 4, 1, 1), dataset.train.epoch(1, 4, 1, 1), strict=True):
        for key in ("images", "labels", "seeds"):
            np.testing.assert_array_equal(a[key], b[key])
    for a, b in zip(held.train.in_order(4), dataset.train.in_order(4), strict=True):
        np.testing.assert_array_equal(a["images"], b["images"])
    (tmp_path / "train/a/0.png").write_bytes(b"gone bad")
    with pytest.raises(tf.errors.OpError, match="UserError: .*0.png: not a readable image"):
        list(dataset.train.in_order(4))
