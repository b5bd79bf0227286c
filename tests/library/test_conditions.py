"""Conditions that are made of the image: against Pillow, and as a model takes them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small import SMALLEST, OneStage, random_levels

from pixelcnn_tf import GatedPixelCNN
from pixelcnn_tf.codec import Codec
from pixelcnn_tf.conditions import MapCondition
from pixelcnn_tf.levels import input_to_levels, levels_to_input

GATED = dict(nr_resnet=1, nr_filters=4, nr_output_filters=4)


def levels_of(name, levels, num_levels=256):
    condition = MapCondition(name, levels.shape[-1], num_levels).of(
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


@pytest.mark.parametrize("network", [GatedPixelCNN, OneStage])
def test_a_model_takes_the_images_own_condition(network, tmp_path):
    sizes = GATED if network is GatedPixelCNN else SMALLEST
    model = network((6, 5, 3), **sizes, condition="small:4")
    images = levels_to_input(random_levels(2, 6, 5, 3))
    given = model.own_condition(images)
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
    with pytest.raises(ValueError, match="conditioned on maps"):
        model.sample(1, seed=1)
    with pytest.raises(ValueError, match="condition='small:4': the codec would need it"):
        Codec(model)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(condition="gray"), "condition='gray': must be grey, or small:N"),
        (dict(condition="small:1"), "condition='small:1': must be grey, or small:N"),
        (dict(condition="grey"), "condition='grey': images must have 3 channels, not 1"),
        (dict(condition="small:2", num_classes=3), "num_classes=3 and condition='small:2'"),
        (dict(condition="small:2", spatial_channels=2), "spatial_channels=2: condition='small:2'"),
    ],
)
def test_bad_conditions_are_named(arguments, message):
    for network, sizes in ((GatedPixelCNN, GATED), (OneStage, SMALLEST)):
        with pytest.raises(ValueError, match=message):
            network((4, 4, 1), **sizes, **arguments)
