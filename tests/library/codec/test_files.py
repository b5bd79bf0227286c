"""The bytes of a file: every byte that is altered and every cut is noticed; other models too."""

import io

import keras
import numpy as np
import pytest
from small import ONE_STAGE, SMALLEST, random_levels

from pixelcnn_tf import GatedPixelCNN, PixelCNNPlusPlus
from pixelcnn_tf.codec import Codec, CodecError, Decoded, container, decode, encode
from pixelcnn_tf.codec.engine import image_checks
from pixelcnn_tf.codec.names import after, pack, unpack


@pytest.fixture(scope="module")
def model():
    return PixelCNNPlusPlus((3, 4, 1), **ONE_STAGE, num_levels=5)


@pytest.fixture(scope="module")
def codec(model):
    return Codec(model)


@pytest.fixture(scope="module")
def images():
    return random_levels(3, 3, 4, 1, num_levels=5)


@pytest.fixture(scope="module")
def data(codec, images):
    return b"".join(codec.write([Decoded(images, None, ["a.png", "b", "ä/c"])]))


def read(codec, data):
    return list(codec.read(io.BytesIO(data)))


def test_what_went_in_comes_out(codec, data, images):
    (part,) = read(codec, data)
    np.testing.assert_array_equal(part.images, images)
    assert part.images.dtype == np.uint8 and part.labels is None
    assert part.names == ["a.png", "b", "ä/c"]
    assert codec.sizes(io.BytesIO(data)) == {images.shape[1:3]: 3}


def test_every_cut_is_noticed(codec, data):
    for size in range(len(data)):
        with pytest.raises(CodecError) as error:
            read(codec, data[:size])
        text = str(error.value)
        assert text.startswith("truncated: " if size else "foreign: ") and "\n" not in text
    with pytest.raises(CodecError, match="^altered: "):
        read(codec, data + b"\0")


def test_every_altered_byte_is_noticed(codec, data):
    """Before anything is decoded: `sizes` looks at the whole file."""
    kinds = set()
    for place in range(len(data)):
        for change in (1, 128, 255):
            altered = bytearray(data)
            altered[place] ^= change
            with pytest.raises(CodecError) as error:
                codec.sizes(io.BytesIO(bytes(altered)))
            kinds.add(str(error.value).split()[0])
    assert kinds == {"foreign:", "format", "truncated:", "altered:"}


def test_a_length_beyond_memory(codec, data, tmp_path):
    """From a file on the disk, of which Python would make room for all that is asked."""
    header = len(container.header_bytes(codec.engine.header))
    path = tmp_path / "x"
    path.write_bytes(data[: header + 1] + container.varint(2**62) + data[header + 2 :])
    with open(path, "rb") as file, pytest.raises(CodecError, match="^truncated: "):
        codec.sizes(file)


def test_pixels_that_differ_are_not_given_out(codec, images):
    """As on a machine whose probabilities are others: the range decoder goes astray."""
    chunk = codec.engine.encode(images)
    levels, _ = codec.engine.decode(chunk)
    np.testing.assert_array_equal(levels, images)
    wrong = chunk._replace(stream=bytes([chunk.stream[0] ^ 64]) + chunk.stream[1:])
    with pytest.raises(CodecError, match="^its checksum is another"):
        codec.engine.decode(wrong)
    checks = np.zeros([3, 2], np.uint8)
    with pytest.raises(CodecError, match="^b: its checksum is another"):
        checked = chunk._replace(names=["a", "b", "c"], checks=checks)
        checks[0] = image_checks(images, 0, 2)[0]
        codec.engine.decode(checked)


def test_other_models_are_told(codec, data, model):
    keras.utils.set_random_seed(1)  # the model may have been made with the seed of every test
    other = PixelCNNPlusPlus((3, 4, 1), **ONE_STAGE, num_levels=5)
    with pytest.raises(CodecError, match="^of another model"):
        decode(other, data)
    other.set_weights(model.get_weights())
    assert decode(other, data).shape == (3, 3, 4, 1)
    fewer = PixelCNNPlusPlus((3, 4, 1), **ONE_STAGE, num_levels=4)
    fewer.set_weights(model.get_weights())
    with pytest.raises(CodecError, match="^of another model"):
        decode(fewer, data)


def test_sizes_and_groups(codec):
    """Several sizes in one file; more images than are coded side by side."""
    parts = [
        random_levels(n, h, w, 1, num_levels=5) for n, h, w in [(5, 2, 3), (0, 9, 9), (1, 4, 1)]
    ]
    data = b"".join(codec.write([Decoded(part, None, None) for part in parts], 2, group=3))
    found = read(codec, data)
    assert [len(part.images) for part in found] == [5, 1]
    for part, images in zip(found, (parts[0], parts[2]), strict=True):
        np.testing.assert_array_equal(part.images, images)


def test_several_sizes_are_refused_by_decode(model, codec):
    parts = [Decoded(np.zeros([1, n, 1, 1], int), None, None) for n in (1, 2)]
    with pytest.raises(ValueError, match="several sizes"):
        decode(model, b"".join(codec.write(parts)))


def test_no_images(model):
    data = encode(model, np.zeros([0, 3, 4, 1], int))
    assert decode(model, data).shape == (0, 3, 4, 1)


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros([1, 3, 4, 1]), "images of dtype float64: must be integer levels"),
        (np.zeros([1, 3, 4, 3], int), "images of shape .*: must be \\[N, H, W, 1\\]"),
        (np.full([1, 3, 4, 1], 5), "images: levels from 5 to 5, must lie in 0 ... 4"),
        (np.full([1, 3, 4, 1], -1), "images: levels from -1 to -1"),
    ],
)
def test_images_that_are_refused(codec, images, message):
    with pytest.raises(ValueError, match=message.removeprefix("--")):
        list(codec.write([Decoded(images, None, None)]))


def test_what_else_is_refused(codec, images):
    with pytest.raises(ValueError, match="names: 1 for 3"):
        list(codec.write([Decoded(images, None, ["a"])]))
    with pytest.raises(ValueError, match="batch_size=0: must be"):
        list(codec.write([Decoded(images, None, None)], batch_size=0))
    with pytest.raises(ValueError, match="num_classes=None"):
        list(codec.write([Decoded(images, [0, 1, 2], None)]))
    with pytest.raises(ValueError, match="EnergyDistance: the codec needs"):
        Codec(PixelCNNPlusPlus((4, 4, 1), **SMALLEST, energy_distance=True))


@pytest.mark.parametrize("kind", ["classes", "vectors", "maps"])
def test_conditions_are_stored(kind):
    labels = {
        "classes": np.array([2, 0, 2]),
        "vectors": np.random.default_rng(0).normal(size=(3, 3)),
        "maps": np.random.default_rng(0).normal(size=(3, 2, 3, 2)),
    }[kind]
    condition = dict(spatial_channels=2) if kind == "maps" else dict(num_classes=3)
    sizes = dict(nr_resnet=1, nr_filters=4, nr_output_filters=4, num_levels=3)
    codec = Codec(GatedPixelCNN((2, 3, 1), **sizes, **condition))
    images = random_levels(3, 2, 3, 1, num_levels=3)
    (part,) = read(codec, b"".join(codec.write([Decoded(images, labels, None)])))
    np.testing.assert_array_equal(part.images, images)
    np.testing.assert_array_equal(part.labels, labels.astype(part.labels.dtype))
    with pytest.raises(ValueError, match="labels"):
        list(codec.write([Decoded(images, labels[:2], None)]))
    with pytest.raises(ValueError, match="label"):
        list(codec.write([Decoded(images, None, None)]))


def test_names_in_order_cost_little():
    names = [f"a/{n:05d}.png" for n in range(1000)]
    assert unpack(pack(names)) == names and len(pack(names)) < 40
    odd = ["", "", "x", "9.png", "10.png", "\udcff\n", "é"]
    assert unpack(pack(odd)) == odd
    assert after("099") == "100" and after("x") == ""


def test_varints():
    for number in (0, 1, 127, 128, 2**40):
        reading = container._Reading(io.BytesIO(container.varint(number)))
        assert reading.varint() == number
