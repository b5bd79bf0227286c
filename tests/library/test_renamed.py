"""Names of version 0.2: they work with a deprecation warning, and saved files load without one."""

import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import random_values

from pixelcnn_tf import VQVAE, GatedPixelCNN, PixelCNN, pretrained, sampling
from pixelcnn_tf.callbacks import PolyakAveraging
from pixelcnn_tf.codec.float64_copy import fingerprint
from pixelcnn_tf.conditions import MapCondition
from pixelcnn_tf.layers.vector_quantizer import VectorQuantizer
from pixelcnn_tf.renamed import renamed

FILES = Path(__file__).parents[1] / "version_0_2"  # models and their outputs, of version 0.2
SMALL = dict(nr_resnet=1, nr_filters=4)


@renamed({"old": "new"})
class Named:
    def __init__(self, new):
        self.new = new


@pytest.fixture
def no_deprecations():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".* is renamed to", DeprecationWarning)
        yield


@pytest.mark.parametrize("name", ["pixelcnn", "gated", "row", "diagonal", "vqvae_ema"])
def test_keras_files_load_with_the_same_outputs(name, no_deprecations):
    model = keras.saving.load_model(FILES / f"{name}.keras")
    images = tf.random.stateless_uniform([2, 8, 8, 1], [1, 2], -1, 1)
    output = model(images)
    output = output.images if name.startswith("vqvae") else output
    np.testing.assert_array_equal(output, np.load(FILES / f"{name}.npy"))


def test_optimizer_state_loads_from_a_keras_file():
    model = keras.saving.load_model(FILES / "pixelcnn.keras")
    assert int(model.optimizer.iterations) == 1
    assert any(np.any(moment) for moment in model.optimizer.first_moments)


def test_keras_files_round_trip(tmp_path, no_deprecations):
    model = keras.saving.load_model(FILES / "vqvae_ema.keras")
    assert (model.commitment_cost, model.quantizer.codebook_update) == (0.5, "ema")
    assert model.quantizer.reset_unused_after == 5 and model.quantizer.num_embeddings == 6
    model.save(tmp_path / "again.keras")
    again = keras.saving.load_model(tmp_path / "again.keras")
    images = random_values(2, 8, 8, 1)
    np.testing.assert_array_equal(again(images).images, model(images).images)


def test_pretrained_configuration_loads(no_deprecations):
    """Its card has `nr_output_filters`."""
    assert pretrained.load("binarized_mnist_pixelcnn").num_head_filters == 64


def test_fingerprint_of_compressed_files_is_the_same():
    model = keras.saving.load_model(FILES / "pixelcnn.keras")
    assert fingerprint(model).hex() == "3054bb95f1a8f773"


@pytest.mark.parametrize("network", [PixelCNN, GatedPixelCNN])
def test_head_filters_by_their_old_name(network):
    with pytest.warns(DeprecationWarning, match="nr_output_filters.*num_head_filters") as caught:
        model = network((4, 4, 1), **SMALL, nr_output_filters=6)
    assert [warning.filename for warning in caught] == [__file__]
    assert model.num_head_filters == 6 and "nr_output_filters" not in model.get_config()
    with pytest.warns(DeprecationWarning, match="nr_output_filters"):
        assert model.nr_output_filters == 6


def test_arguments_of_the_vq_vae_by_their_old_names():
    old = dict(nr_embeddings=5, commitment=0.5, codebook="loss", restart_codes=3)
    with pytest.warns(DeprecationWarning) as caught:
        model = VQVAE((8, 8, 1), **SMALL, embedding_dim=2, **old)
    assert len(caught) == len(old)
    assert model.quantizer.num_embeddings == 5 and model.quantizer.reset_unused_after == 3
    assert model.commitment_cost == 0.5 and model.quantizer.codebook_update == "gradient"
    with pytest.warns(DeprecationWarning, match="codebook_update"):
        assert model.quantizer.codebook == "loss"


def test_layers_load_from_old_configurations(no_deprecations):
    layer = VectorQuantizer(6, 3, "ema", reset_unused_after=2)
    config = json.loads(json.dumps(layer.get_config()))
    for new, old in [
        ("num_embeddings", "nr_embeddings"),
        ("codebook_update", "codebook"),
        ("reset_unused_after", "restart_codes"),
    ]:
        config[old] = config.pop(new)
    assert VectorQuantizer.from_config(config).get_config() == layer.get_config()


def test_methods_by_their_old_names():
    model = GatedPixelCNN((4, 4, 3), **SMALL, num_head_filters=6, condition="grey")
    images = random_values(2, 4, 4, 3)
    expected = model.compute_condition(images)
    with pytest.warns(DeprecationWarning, match="own_condition.*compute_condition"):
        np.testing.assert_array_equal(model.own_condition(images), expected)
    with pytest.warns(DeprecationWarning, match="state.*non_gradient_variables"):
        assert model.state == []
    grey = MapCondition("grey", 3, 256)
    with pytest.warns(DeprecationWarning, match="of .*from_images"):
        condition = grey.of(images)
    with pytest.warns(DeprecationWarning, match="to_h.*broadcast_to_image"):
        np.testing.assert_array_equal(grey.to_h(condition, (4, 4, 3)), expected)
    with pytest.warns(DeprecationWarning, match="fill.*complete_unchecked"):
        assert sampling.fill is sampling.complete_unchecked
    with pytest.warns(DeprecationWarning, match="goes_on.*resume"):
        assert PolyakAveraging(model, goes_on=True).resume


def test_old_and_new_name_together_are_rejected():
    with pytest.warns(DeprecationWarning), pytest.raises(TypeError, match="use only new"):
        Named(old=1, new=2)


def test_unknown_names_are_unknown():
    model = PixelCNN((4, 4, 1), **SMALL, num_head_filters=6)
    assert not hasattr(model, "nr_outputs")
    with pytest.raises(AttributeError, match="'PixelCNN' object has no attribute 'nr_outputs'"):
        model.nr_outputs  # noqa: B018
