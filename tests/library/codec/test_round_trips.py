"""Decoding returns the encoded images for any model, images and order of summation."""

import io
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from family import FAMILY, lively, small
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import ONE_STAGE, SMALLEST, random_levels

from pixelcnn_tf import GatedPixelCNN, PixelCNNPlusPlus
from pixelcnn_tf.codec import Codec, Decoded, container, decode, encode
from pixelcnn_tf.codec.float64_copy import UNKNOWN_UNCERTAINTY, uncertainty
from pixelcnn_tf.levels import levels_to_input
from pixelcnn_tf.sampling.steps import pixel_steps

GATED = dict(nr_resnet=1, nr_filters=4, num_head_filters=4)
OVERHEAD = 64  # bytes that one image may cost above the model's negative log-likelihood


def whole(codec, images, labels=None, **options):
    return b"".join(codec.write([Decoded(images, labels, None)], **options))


def read(codec, data, **options):
    (part,) = codec.read(io.BytesIO(data), **options)
    return part.images


def extreme_images(kind, shape, num_levels, seed):
    if kind == "noise":
        return random_levels(*shape, num_levels=num_levels, seed=seed)
    level = {"lowest": 0, "highest": num_levels - 1, "constant": seed % num_levels}[kind]
    return np.full(shape, level)


@st.composite
def cases(draw, largest):
    """A model, images of at most this height and width, labels, options of encoder and decoder."""
    height, width = (draw(st.integers(1, side)) for side in largest)
    channels = draw(st.sampled_from([1, 3]))
    num_levels = draw(st.sampled_from([2, 3, 16, 255, 256, 257, 4096, 65536]))
    name = draw(st.sampled_from(["mixture", "gated_pixelcnn", "pixelcnn"]))
    num_classes = draw(st.sampled_from([None, 3]))
    if name != "mixture":
        num_levels = min(num_levels, 257)  # a softmax has a weight a level
    if name == "pixelcnn":
        num_classes, height, width = None, min(height, 6), min(width, 6)  # the naive sampler
    seed = draw(st.integers(0, 2**31))
    kind = draw(st.sampled_from(["noise", "lowest", "highest", "constant"]))
    number = draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(["float32", "float32", "mixed_bfloat16"]))
    scale = draw(st.sampled_from([0.5, 1.0, 3.0]))
    sizes = dict(num_levels=num_levels, num_classes=num_classes, dtype=dtype)
    if num_classes is None:
        del sizes["num_classes"]
    return (
        (name, (height, width, channels), sizes, scale, seed),
        (kind, (number, height, width, channels), num_levels, seed),
        None if num_classes is None else np.random.default_rng(seed).integers(0, 3, number),
        dict(batch_size=draw(st.integers(1, 4)), group=draw(st.sampled_from([None, 1, 2]))),
        dict(batch_size=draw(st.integers(1, 4))),
    )


def make(name, shape, sizes, scale, seed):
    keras.utils.set_random_seed(seed)
    if name == "mixture":
        model = PixelCNNPlusPlus(shape, **ONE_STAGE, **sizes)
    else:
        model = FAMILY[name](shape, nr_resnet=1, nr_filters=6, num_head_filters=6, **sizes)
    for variable in model.trainable_variables:
        variable.assign(scale * tf.convert_to_tensor(variable))
    return model


def round_trip(case):
    description, image_description, labels, writing, reading = case
    model, images = make(*description), extreme_images(*image_description)
    data = encode(model, images, labels, **writing)
    np.testing.assert_array_equal(decode(model, data, **reading), images)


SETTINGS = dict(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@settings(max_examples=3, **SETTINGS)
@given(cases((12, 8)))
def test_random_configurations(case):
    round_trip(case)


@pytest.mark.slow
@settings(max_examples=200, **SETTINGS | {"derandomize": False})
@given(cases((40, 24)))
def test_200_random_configurations(case):
    round_trip(case)


@pytest.mark.parametrize("name", ["row_lstm", "diagonal_bilstm"])
def test_the_recurrent_models(name):
    model = lively(small(name, (2, 3, 3), nr_resnet=1))
    images = random_levels(2, 2, 3, 3, num_levels=3)
    np.testing.assert_array_equal(decode(model, encode(model, images)), images)


@pytest.fixture(scope="module")
def codec():
    return Codec(PixelCNNPlusPlus((6, 5, 3), **SMALLEST, num_stages=2))


@pytest.fixture(scope="module")
def images():
    return random_levels(15, 6, 5, 3)


@pytest.fixture(scope="module")
def data(codec, images):
    return whole(codec, images, batch_size=15)


@pytest.mark.parametrize(
    "options",
    [dict(batch_size=1), dict(batch_size=7), dict(), dict(method="naive", batch_size=4)],
    ids=str,
)
def test_decoder_works_with_any_batches_and_sampler(codec, images, data, options):
    np.testing.assert_array_equal(read(codec, data, **options), images)


def test_encoder_works_with_any_batches(codec, images, data):
    for batch_size in (1, 7):
        other = whole(codec, images, batch_size=batch_size)
        np.testing.assert_array_equal(read(codec, other), images)
        assert abs(len(other) - len(data)) < 16


@pytest.mark.slow
def test_xla(codec, images, data):
    np.testing.assert_array_equal(read(codec, data, jit_compile=True), images)


OTHER_PROCESS = """
import sys, numpy as np, keras
sys.path[:0] = ["tests", "."]
from small import ONE_STAGE, random_levels
from pixelcnn_tf import PixelCNNPlusPlus
from pixelcnn_tf.codec import decode, encode
keras.utils.set_random_seed(3)
model = PixelCNNPlusPlus((6, 5, 1), **ONE_STAGE)
images = random_levels(9, 6, 5, 1)
path, task = sys.argv[1:]
if task == "write":
    open(path, "wb").write(encode(model, images, batch_size=4))
else:
    assert (decode(model, open(path, "rb").read()) == images).all()
"""


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
def test_threads_and_onednn(tmp_path, reverse):
    """Written with one thread, without oneDNN; read with all threads and oneDNN; and vice versa."""
    plain = dict(TF_ENABLE_ONEDNN_OPTS="0", TF_NUM_INTRAOP_THREADS="1", OMP_NUM_THREADS="1")
    free = dict(TF_ENABLE_ONEDNN_OPTS="1", TF_NUM_INTRAOP_THREADS="0", TF_NUM_INTEROP_THREADS="0")
    settings = [("write", plain), ("read", free)]
    if reverse:
        settings = [("write", free), ("read", plain)]
    for task, environment in settings:
        command = [sys.executable, "-c", OTHER_PROCESS, str(tmp_path / "x"), task]
        subprocess.run(command, check=True, env=os.environ | environment)


def test_size(codec, images):
    """One image costs at most 64 bytes more than its negative log-likelihood, many hardly any."""
    model = codec.engine.model
    nats = -model.log_prob(levels_to_input(images)).numpy()
    ideal = nats / np.log(2) / 8
    for number in range(3):
        assert len(whole(codec, images[number : number + 1])) < ideal[number] + OVERHEAD
    assert len(whole(codec, images)) < ideal.sum() + OVERHEAD


def test_steps_equal_one_pass():
    """The decoder computes the parameters pixel by pixel."""
    models = [small("gated_pixelcnn", (4, 5, 3)), small("pixelcnn", (4, 5, 3))]
    two_stages = dict(num_levels=3, dtype="float64", num_stages=2)
    models.append(PixelCNNPlusPlus((5, 7, 3), **SMALLEST, **two_stages))
    for model in models:
        images = levels_to_input(random_levels(2, *model.image_shape, num_levels=3), 3).numpy()
        expected, known = model(images).numpy(), np.zeros_like(images)
        parameters = pixel_steps(model)(None, 2)
        passes, size = model.passes_per_pixel, model.likelihood.num_parameters
        for row, column in np.ndindex(*model.image_shape[:2]):
            for channel in range(passes):
                part = slice(channel * size // passes, (channel + 1) * size // passes)
                found = parameters(known, row, column, channel).numpy()[:, part]
                np.testing.assert_allclose(found, expected[:, row, column, part], atol=1e-12)
                known[:, row, column, channel] = images[:, row, column, channel]
            known[:, row, column] = images[:, row, column]


def test_method_of_pixel_steps_is_checked():
    with pytest.raises(ValueError, match="method='fast'"):
        pixel_steps(small("pixelcnn", (2, 2, 1)), "fast")
    with pytest.raises(ValueError, match="method='cached'"):
        pixel_steps(small("pixelcnn", (2, 2, 1)), "cached")


def test_codec_keeps_its_weights():
    """Also for a model in float64."""
    model = PixelCNNPlusPlus((3, 4, 1), **ONE_STAGE, dtype="float64")
    images = random_levels(2, 3, 4, 1)
    old = Codec(model)
    before = whole(old, images)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.1)
    np.testing.assert_array_equal(read(old, before), images)
    np.testing.assert_array_equal(read(old, whole(old, images)), images)
    np.testing.assert_array_equal(decode(model, encode(model, images)), images)


def test_maps_of_integers():
    model = GatedPixelCNN((3, 4, 1), spatial_channels=2, **GATED)
    images, maps = random_levels(2, 3, 4, 1), random_levels(2, 3, 4, 2)
    np.testing.assert_array_equal(decode(model, encode(model, images, maps)), images)


def test_empty_names_are_rejected():
    codec = Codec(PixelCNNPlusPlus((3, 4, 1), **ONE_STAGE))
    parts = [Decoded(random_levels(2, 3, 4, 1), None, ["a1", ""])]
    with pytest.raises(ValueError, match="names: "):
        b"".join(codec.write(parts))


def test_parameters_that_differ_within_the_margin_give_the_same_images(codec, images, monkeypatch):
    """As with another order of summation, but with more corrections, in several groups and
    batches."""
    engine, moved = codec.engine, 3e-9
    kind, generator = engine.distribution, np.random.default_rng(0)
    monkeypatch.setattr(engine, "uncertainty", lambda *given: 1.1 * moved)
    data = whole(codec, images, batch_size=4, group=6)
    file = io.BytesIO(data)
    container.read_header(file)
    assert sum(len(chunk.corrections) for chunk in container.read_chunks(file)) > 50

    def elsewhere(likelihood, parameters):
        sign = generator.choice([-1.0, 1.0], parameters.shape)
        return kind(likelihood, parameters + moved * sign * (1.0 + np.abs(parameters)))

    monkeypatch.setattr(engine, "distribution", elsewhere)
    np.testing.assert_array_equal(read(codec, data), images)


def test_the_margin_is_far_above_the_error_of_float64():
    assert uncertainty(np.zeros(3), np.full(3, 1e-3)) >= 32 * 2.0**-29 * 1e-3
    assert uncertainty(np.zeros(3), np.full(3, np.inf)) == UNKNOWN_UNCERTAINTY


def test_more_images_than_a_chunk_holds(monkeypatch):
    monkeypatch.setattr("pixelcnn_tf.codec.files.CHUNK", 2)
    codec = Codec(PixelCNNPlusPlus((3, 4, 1), **ONE_STAGE, num_classes=3))
    images, labels = random_levels(5, 3, 4, 1), np.array([2, 0, 1, 1, 2])
    names = [f"{number}.png" for number in (3, 1, 4, 7, 5)]
    data = b"".join(codec.write([Decoded(images, labels, names)]))
    parts = list(codec.read(io.BytesIO(data)))
    assert [len(part.images) for part in parts] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([part.images for part in parts]), images)
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), labels)
    assert sum((part.names for part in parts), []) == names
