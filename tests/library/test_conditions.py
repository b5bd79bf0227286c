"""Conditions computed from the image: against Pillow, and in models."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small import ONE_STAGE, random_levels, small_encoder, with_encoder

from pixelcnn_tf import GatedPixelCNN, PixelCNNPlusPlus, PolyakAverage
from pixelcnn_tf.codec import Codec
from pixelcnn_tf.conditions import Embedding, MapCondition
from pixelcnn_tf.levels import input_to_levels, levels_to_input

GATED = dict(nr_resnet=1, nr_filters=4, num_head_filters=4)


def levels_of(name, levels, num_levels=256):
    condition = MapCondition(name, levels.shape[-1], num_levels).from_images(
        levels_to_input(levels, num_levels)
    )
    return input_to_levels(condition, num_levels).numpy()


def test_grey_is_the_luminance_of_pillow():
    levels = random_levels(3, 6, 5, 3)
    found = levels_of("grey", levels)
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in levels])
    assert np.abs(found[..., 0] - expected.astype(int)).max() <= 1  # it truncates its weights


@pytest.mark.parametrize("factor", [2, 4])
def test_small_is_the_mean_of_the_pixels(factor):
    levels = random_levels(2, 8, 12, 3)
    blocks = levels.reshape(2, 8 // factor, factor, 12 // factor, factor, 3).mean(axis=(2, 4))
    assert np.abs(levels_of(f"small:{factor}", levels) - blocks).max() <= 0.51
    # At the edge of an odd size: of the pixels that there are.
    found = levels_of(f"small:{factor}", levels[:, :7, :11])
    edge = levels[:, 8 - factor : 7, :factor].mean(axis=(1, 2))
    assert np.abs(found[:, -1, 0] - edge).max() <= 0.51


def test_the_average_has_the_encoder_of_the_model():
    model = GatedPixelCNN(**GATED, **with_encoder(image_shape=(6, 5, 3), condition="vector"))
    averaged = GatedPixelCNN.from_config(model.get_config())  # an encoder anew, with other weights
    PolyakAverage(model, averaged).start()
    images = levels_to_input(random_levels(2, 6, 5, 3))
    np.testing.assert_array_equal(averaged.log_prob(images), model.log_prob(images))


def test_models_reject_invalid_conditions():
    grey = GatedPixelCNN((6, 5, 3), condition="grey", **GATED)
    images = levels_to_input(random_levels(2, 6, 5, 3))
    maps = random_levels(2, 6, 5, 1)
    with pytest.raises(ValueError, match="labels of dtype uint8"):
        grey(images, maps)
    with pytest.raises(ValueError, match=r"labels: .*\[-1, 1\]"):
        grey.sample(2, seed=1, labels=maps.astype(np.float32) + 2)
    with pytest.raises(ValueError, match="images of dtype uint8"):
        grey.compute_condition(random_levels(2, 6, 5, 3))
    vectors = GatedPixelCNN(**GATED, **with_encoder(image_shape=(6, 5, 3), condition="vector"))
    with pytest.raises(ValueError, match="labels of dtype int64"):
        vectors(images, np.ones([2, 3], int))
    small = MapCondition("small:2", 3, 256)
    with pytest.raises(ValueError, match=r"condition of shape .*\[B, 3, 3, 3\]"):
        small.broadcast_to_image(images, (6, 5, 3))  # the images themselves


@pytest.mark.parametrize("network", [GatedPixelCNN, PixelCNNPlusPlus])
@pytest.mark.parametrize("condition", ["small:4", "vector"])
def test_model_computes_its_condition(network, condition, tmp_path):
    sizes = GATED if network is GatedPixelCNN else ONE_STAGE
    model = network(**sizes, **with_encoder(image_shape=(6, 5, 3), condition=condition))
    images = levels_to_input(random_levels(2, 6, 5, 3))
    given = model.compute_condition(images)
    if condition == "vector":
        encoder = small_encoder((6, 5, 3))
        kernel, bias = encoder.get_weights()
        expected = images.numpy().reshape(2, -1) @ kernel + bias
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)
        assert model.condition.shape((6, 5, 3)) == (3,) == (model.num_conditions,)
        # It is saved with the model, but nothing that is trained, averaged or kept in checkpoints.
        assert not model.non_gradient_variables and not model.encoder.trainable
        assert not {id(v) for v in model.encoder.variables} & set(
            map(id, model.trainable_variables)
        )
    else:
        assert given.shape == images.shape and model.condition.shape((6, 5, 3)) == (2, 2, 3)
        np.testing.assert_array_equal(
            given[:, :4, :4], tf.repeat(given[:, :1, :1], 4, 1).numpy().repeat(4, axis=2)
        )
    np.testing.assert_array_equal(model(images), model(images, given))
    assert np.abs(model(images, given[::-1]) - model(images)).max() > 0
    if network is GatedPixelCNN:
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded(images), model(images))
    with pytest.raises(ValueError, match="labels of shape .*(maps|vectors)"):
        model.sample(1, seed=1)
    with pytest.raises(ValueError, match="condition=None, got '(small:4|embedding)'"):
        Codec(model)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(condition="gray"), "condition='gray'"),
        (dict(condition="small:1"), "condition='small:1'"),
        (dict(condition="grey"), "condition='grey': .*3 channels"),
        (dict(condition="small:2", num_classes=3), "num_classes=3 and condition='small:2'"),
        (dict(condition="small:2", spatial_channels=2), "spatial_channels=2: .*='small:2'"),
    ],
)
def test_invalid_condition_is_named(arguments, message):
    for network, sizes in ((GatedPixelCNN, GATED), (PixelCNNPlusPlus, ONE_STAGE)):
        with pytest.raises(ValueError, match=message.removeprefix("--")):
            network((4, 4, 1), **sizes, **arguments)


def network_of(input_shape, *layers):
    return keras.Sequential([keras.Input(input_shape), *layers])


def two_inputs():
    inputs = [keras.Input((6, 5, 3)) for _ in range(2)]
    return keras.Model(inputs, keras.layers.Flatten()(inputs[0] + inputs[1]))


def two_outputs():
    images = keras.Input((6, 5, 3))
    return keras.Model(images, [images, keras.layers.Flatten()(images)])


FLATTEN, CONV = keras.layers.Flatten, keras.layers.Conv2D
INVALID = {  # a Keras model -> its error
    "other size": (
        lambda: network_of((6, 6, 3), FLATTEN()),
        r"must accept images \[B, 6, 5, 3\], got \[B, 6, 6, 3\]",
    ),
    "grey": (lambda: network_of((6, 5, 1), FLATTEN()), r"must accept images .*got \[B, 6, 5, 1\]"),
    "vectors in": (lambda: network_of((90,), FLATTEN()), r"must accept images .*got \[B, 90\]"),
    "maps": (
        lambda: network_of((None, None, 3), CONV(2, 1)),
        r"must return floats \[B, D\], got float32 \[B, 6, 5, 2\]",
    ),
    "small images": (
        lambda: network_of((None, None, 3), CONV(2, 9)),
        r"must accept images \[B, 6, 5, 3\], it raised",
    ),
    "two inputs": (two_inputs, "must have one input, .*it has 2"),
    "two outputs": (two_outputs, "must return floats .*several outputs"),
}


@pytest.mark.parametrize("case", INVALID)
def test_embedding_rejects_other_keras_models(case):
    make, message = INVALID[case]
    with pytest.raises(ValueError, match=f"^condition: the Keras model {message}"):
        Embedding(make(), (6, 5, 3))


def test_embedding_checks_the_image_size():
    embedding = Embedding(small_encoder((6, 5, 3)), (6, 5, 3))
    with pytest.raises(ValueError, match=r"must accept images \[B, 8, 8, 3\], got \[B, 6, 5, 3\]"):
        embedding.from_images(tf.zeros([1, 8, 8, 3]))
    of_any = network_of((None, None, 3), keras.layers.GlobalAveragePooling2D())
    embedding = Embedding(of_any, (6, 5, 3))
    embedding.check((8, 8, 3))
    np.testing.assert_array_equal(embedding.from_images(tf.ones([1, 8, 8, 3])), [[1, 1, 1]])
