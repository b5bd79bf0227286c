"""The file format: altered bytes, truncation and other models are detected."""

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


def test_round_trip(codec, data, images):
    (part,) = read(codec, data)
    np.testing.assert_array_equal(part.images, images)
    assert part.images.dtype == np.uint8 and part.labels is None
    assert part.names == ["a.png", "b", "ä/c"]
    assert codec.sizes(io.BytesIO(data)) == {images.shape[1:3]: 3}


def test_truncation_is_detected(codec, data):
    for size in range(len(data)):
        with pytest.raises(CodecError) as error:
            read(codec, data[:size])
        text = str(error.value)
        assert text.startswith("truncated: " if size else "foreign: ") and "\n" not in text
    with pytest.raises(CodecError, match="^altered: "):
        read(codec, data + b"\0")


def test_altered_bytes_are_detected(codec, data):
    """Before anything is decoded: `sizes` reads the whole file."""
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
    """In a file on disk, for which Python would allocate the requested size."""
    header = len(container.header_bytes(codec.engine.header))
    path = tmp_path / "x"
    path.write_bytes(data[: header + 1] + container.varint(2**62) + data[header + 2 :])
    with open(path, "rb") as file, pytest.raises(CodecError, match="^truncated: "):
        codec.sizes(file)


def test_decoded_images_are_verified(codec, images):
    """As on a machine with other probabilities, where the range decoder returns other pixels."""
    chunk = codec.engine.encode(images)
    levels, _ = codec.engine.decode(chunk)
    np.testing.assert_array_equal(levels, images)
    wrong = chunk._replace(stream=bytes([chunk.stream[0] ^ 64]) + chunk.stream[1:])
    with pytest.raises(CodecError, match="^checksum mismatch"):
        codec.engine.decode(wrong)
    checks = np.zeros([3, 2], np.uint8)
    with pytest.raises(CodecError, match="^b: checksum mismatch"):
        checked = chunk._replace(names=["a", "b", "c"], checks=checks)
        checks[0] = image_checks(images, 0, 2)[0]
        codec.engine.decode(checked)


def test_other_models_are_rejected(codec, data, model):
    keras.utils.set_random_seed(1)  # the model may have the seed of every test
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
    """Several sizes in one file; more images than are coded in parallel."""
    parts = [
        random_levels(n, h, w, 1, num_levels=5) for n, h, w in [(5, 2, 3), (0, 9, 9), (1, 4, 1)]
    ]
    data = b"".join(codec.write([Decoded(part, None, None) for part in parts], 2, group=3))
    found = read(codec, data)
    assert [len(part.images) for part in found] == [5, 1]
    for part, images in zip(found, (parts[0], parts[2]), strict=True):
        np.testing.assert_array_equal(part.images, images)


def test_decode_rejects_several_sizes(model, codec):
    parts = [Decoded(np.zeros([1, n, 1, 1], int), None, None) for n in (1, 2)]
    with pytest.raises(ValueError, match="several sizes"):
        decode(model, b"".join(codec.write(parts)))


def test_no_images(model):
    data = encode(model, np.zeros([0, 3, 4, 1], int))
    assert decode(model, data).shape == (0, 3, 4, 1)


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros([1, 3, 4, 1]), "images of dtype float64"),
        (np.zeros([1, 3, 4, 3], int), "images of shape .*: must be \\[N, H, W, 1\\]"),
        (np.full([1, 3, 4, 1], 5), r"images: .*0 \.\.\. 4, got 5 to 5"),
        (np.full([1, 3, 4, 1], -1), "images: .*got -1 to -1"),
    ],
)
def test_invalid_images_are_rejected(codec, images, message):
    with pytest.raises(ValueError, match=message.removeprefix("--")):
        list(codec.write([Decoded(images, None, None)]))


def test_invalid_arguments_are_rejected(codec, images):
    with pytest.raises(ValueError, match="names: .*got 1 for 3"):
        list(codec.write([Decoded(images, None, ["a"])]))
    with pytest.raises(ValueError, match="batch_size=0: must be"):
        list(codec.write([Decoded(images, None, None)], batch_size=0))
    with pytest.raises(ValueError, match="num_classes=None"):
        list(codec.write([Decoded(images, [0, 1, 2], None)]))
    with pytest.raises(ValueError, match="model: .*EnergyDistance"):
        Codec(PixelCNNPlusPlus((4, 4, 1), **SMALLEST, energy_distance=True))


@pytest.mark.parametrize("kind", ["classes", "vectors", "maps"])
def test_conditions_are_stored(kind):
    labels = {
        "classes": np.array([2, 0, 2]),
        "vectors": np.random.default_rng(0).normal(size=(3, 3)),
        "maps": np.random.default_rng(0).normal(size=(3, 2, 3, 2)),
    }[kind]
    condition = dict(spatial_channels=2) if kind == "maps" else dict(num_classes=3)
    sizes = dict(nr_resnet=1, nr_filters=4, num_head_filters=4, num_levels=3)
    codec = Codec(GatedPixelCNN((2, 3, 1), **sizes, **condition))
    images = random_levels(3, 2, 3, 1, num_levels=3)
    (part,) = read(codec, b"".join(codec.write([Decoded(images, labels, None)])))
    np.testing.assert_array_equal(part.images, images)
    np.testing.assert_array_equal(part.labels, labels.astype(part.labels.dtype))
    with pytest.raises(ValueError, match="labels"):
        list(codec.write([Decoded(images, labels[:2], None)]))
    with pytest.raises(ValueError, match="label"):
        list(codec.write([Decoded(images, None, None)]))


def test_consecutive_names_are_compact():
    names = [f"a/{n:05d}.png" for n in range(1000)]
    assert unpack(pack(names)) == names and len(pack(names)) < 40
    odd = ["", "", "x", "9.png", "10.png", "\udcff\n", "é"]
    assert unpack(pack(odd)) == odd
    assert after("099") == "100" and after("x") == ""


def test_varints():
    for number in (0, 1, 127, 128, 2**40):
        reading = container._Reading(io.BytesIO(container.varint(number)))
        assert reading.varint() == number
