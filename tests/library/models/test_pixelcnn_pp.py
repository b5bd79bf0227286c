import keras
import numpy as np
import pytest
import tensorflow as tf
from small import SMALLEST, random_values

from pixelcnn_tf import PixelCNNPlusPlus, data_dependent_init
from pixelcnn_tf.layers.dropout import Dropout
from pixelcnn_tf.layers.gated_resnet import GATE_INIT_SCALE
from pixelcnn_tf.layers.nonlinearities import concat_elu
from pixelcnn_tf.layers.shifted_convolutions import Nin, down_shift, right_shift
from pixelcnn_tf.layers.weight_norm import WeightNormLayer
from pixelcnn_tf.models.pixelcnn_pp import ImagePass, add_ones_channel
from pixelcnn_tf.random import example_seeds


def test_shifts():
    x = tf.reshape(tf.range(1.0, 13.0), [1, 3, 4, 1])
    expected = np.zeros([3, 4])
    expected[1:] = x[0, :-1, :, 0]
    np.testing.assert_array_equal(down_shift(x)[0, :, :, 0], expected)
    expected = np.zeros([3, 4])
    expected[:, 1:] = x[0, :, :-1, 0]
    np.testing.assert_array_equal(right_shift(x)[0, :, :, 0], expected)


def test_concat_elu():
    x = np.array([[-2.0, 3.0]], np.float32)
    expected = [[np.expm1(-2.0), 3.0, 2.0, np.expm1(-3.0)]]
    np.testing.assert_allclose(concat_elu(x), expected, rtol=1e-6)


def test_output_does_not_depend_on_the_length_of_v():
    layer = Nin(5)
    x = random_values(2, 4, 4, 3)
    before = layer(x)
    layer.V.assign(layer.V * 3.0)
    np.testing.assert_allclose(layer(x), before, atol=1e-6)
    layer.g.assign(layer.g * 2.0)
    np.testing.assert_allclose(layer(x), 2.0 * before, atol=1e-6)


@pytest.mark.parametrize("num_classes", [None, 4])
def test_moments_after_initialisation(num_classes, monkeypatch):
    model = PixelCNNPlusPlus((8, 8, 3), **SMALLEST, num_classes=num_classes, dropout_p=0.0)
    images = random_values(6, 8, 8, 3)
    labels = tf.constant([0, 1, 2, 3, 0, 1]) if num_classes else None
    data_dependent_init(model, images, labels)

    seen = []
    crop = WeightNormLayer.crop
    # `crop` receives the pre-activation as the init pass measures it.
    for cls in [WeightNormLayer, *all_subclasses(WeightNormLayer)]:
        if "crop" in vars(cls):
            original = vars(cls)["crop"]

            def recorded(self, y, original=original):
                seen.append((self, y))
                return original(self, y)

            monkeypatch.setattr(cls, "crop", recorded)
    assert crop is not WeightNormLayer.crop
    model(images, labels)
    assert len(seen) == 57
    for layer, y in seen:
        mean, variance = tf.nn.moments(y, axes=[0, 1, 2])
        np.testing.assert_allclose(mean, 0.0, atol=1e-4)
        np.testing.assert_allclose(tf.sqrt(variance), layer.init_scale, rtol=1e-3)
    scales = [layer.init_scale for layer, _ in seen]
    assert scales.count(GATE_INIT_SCALE) == 16  # one in each gated residual block


def all_subclasses(cls):
    return [s for child in cls.__subclasses__() for s in [child, *all_subclasses(child)]]


def test_init_leaves_v_and_applies_dropout_by_default():
    images = random_values(6, 8, 8, 3)
    results = []
    for dropout_p in (0.5, 0.0):
        keras.utils.set_random_seed(3)
        model = PixelCNNPlusPlus((8, 8, 3), **SMALLEST, dropout_p=dropout_p)
        before = model.u_up[0][0].conv_in.V.numpy()
        data_dependent_init(model, images)
        np.testing.assert_array_equal(model.u_up[0][0].conv_in.V, before)
        results.append(model.u_up[0][0].conv_gate.g.numpy())
    assert np.abs(results[0] - results[1]).max() > 1e-3


@pytest.mark.parametrize("channels, outputs", [(1, 6), (3, 20)])
def test_output_shape_of_non_square_images(channels, outputs):
    model = PixelCNNPlusPlus((12, 8, channels), **SMALLEST)
    assert model(random_values(3, 12, 8, channels)).shape == [3, 12, 8, outputs]


def test_dropout_is_keyed_by_example():
    model = PixelCNNPlusPlus((8, 8, 1), **SMALLEST)
    images = random_values(4, 8, 8, 1)
    seeds = tf.constant([[1, 2], [3, 4], [5, 6], [7, 8]])
    together = model(images, training=True, seed=seeds)
    halves = [model(images[i : i + 2], training=True, seed=seeds[i : i + 2]) for i in (0, 2)]
    np.testing.assert_allclose(together, tf.concat(halves, axis=0), atol=1e-5)
    other = model(images, training=True, seed=seeds + 1)
    assert np.abs(together - other).max() > 1e-2
    assert np.abs(together - model(images)).max() > 1e-2


def test_dropout_keeps_the_expected_share_and_mean():
    for dropout_p in (0.2, 0.5):
        dropped = Dropout(dropout_p, example_seeds(1, 8)).block()(tf.ones([8, 16, 16, 64]))
        values = np.unique(dropped)
        np.testing.assert_allclose(values, [0.0, 1.0 / (1.0 - dropout_p)], rtol=1e-6)
        np.testing.assert_allclose(np.mean(dropped == 0), dropout_p, atol=0.01)


def test_training_without_a_seed_draws_a_new_mask_each_time():
    model = PixelCNNPlusPlus((8, 8, 1), **SMALLEST)
    images = random_values(2, 8, 8, 1)
    first, second = model(images, training=True), model(images, training=True)
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize(
    "arguments",
    [
        dict(resnet_nonlinearity="elu", dropout_p=0.2, num_classes=3, num_levels=17),
        dict(num_stages=2, remat=True),
    ],
    ids=str,
)
def test_config_and_keras_file_round_trip(arguments, tmp_path):
    model = PixelCNNPlusPlus((8, 12, 1), **SMALLEST, **arguments)
    copy = PixelCNNPlusPlus.from_config(model.get_config())
    assert copy.get_config() == model.get_config() | {"name": copy.name}
    copy.set_weights(model.get_weights())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    images, labels = random_values(2, 8, 12, 1), [0, 2] if model.num_classes else None
    for other in (copy, loaded):
        np.testing.assert_array_equal(other(images, labels), model(images, labels))


def test_configuration_omits_later_arguments_at_their_defaults():
    """Else fingerprints of compressed files would change; and configurations without them load."""
    config = PixelCNNPlusPlus((8, 8, 1), **SMALLEST).get_config()
    assert not {"num_stages", "spatial_channels", "condition"} & set(config)
    del config["remat"]
    model = PixelCNNPlusPlus.from_config(config)
    assert model.num_stages == 3 and model.multiple == 4 and not model.remat


@pytest.mark.parametrize("num_stages", [1, 2, 4])
def test_number_of_stages(num_stages):
    model = PixelCNNPlusPlus((5, 9, 1), **SMALLEST, num_stages=num_stages)
    assert [len(stage) for stage in model.u_up] == [1] * num_stages
    assert [len(stage) for stage in model.ul_down] == [1] + [2] * (num_stages - 1)
    assert model.multiple == 2 ** (num_stages - 1)
    assert model(random_values(2, 5, 9, 1)).shape == [2, 5, 9, 6]


@pytest.mark.parametrize(
    "arguments",
    [
        dict(image_shape=(0, 30, 3)),
        dict(image_shape=(8, 8, 2)),
        dict(image_shape=(8, 8)),
        dict(image_shape=(8, 8.0, 1)),
        dict(image_shape=8),
        dict(nr_resnet=0),
        dict(nr_resnet=1.0),
        dict(nr_filters=None),
        dict(nr_filters=True),
        dict(nr_logistic_mix="3"),
        dict(resnet_nonlinearity="gelu"),
        dict(dropout_p=1.0),
        dict(dropout_p="a"),
        dict(dropout_p=float("nan")),
        dict(num_classes=0),
        dict(num_classes="10"),
        dict(num_classes=2.0),
        dict(energy_distance="no"),
        dict(num_levels=1),
        dict(num_levels="256"),
        dict(remat=1),
        dict(num_stages=0),
        dict(num_stages=1.0),
    ],
    ids=str,
)
def test_invalid_argument_is_named(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"^{name}="):
        PixelCNNPlusPlus(**(dict(image_shape=(8, 8, 1)) | SMALLEST | arguments))


def test_invalid_inputs_are_rejected():
    model = PixelCNNPlusPlus((8, 8, 1), **SMALLEST)
    conditional = PixelCNNPlusPlus((8, 8, 1), **SMALLEST, num_classes=3)
    images = random_values(2, 8, 8, 1)
    with pytest.raises(ValueError, match="images of dtype uint8"):
        model(tf.zeros([2, 8, 8, 1], tf.uint8))
    with pytest.raises(ValueError, match="images of shape"):
        model(random_values(2, 8, 12, 1))
    with pytest.raises(ValueError, match="labels: .*num_classes=None"):
        model(images, [0, 1])
    with pytest.raises(ValueError, match="dropout_masks: .*16, got 17"):
        model(images, dropout_masks=[np.ones([1, 1, 1, 1])] * 17)
    with pytest.raises(ValueError, match="labels: missing"):
        conditional(images)
    with pytest.raises(ValueError, match=r"labels: .*0 \.\.\. 2, got 3"):
        conditional(images, [0, 3])


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32_variables():
    model = PixelCNNPlusPlus((8, 8, 1), **SMALLEST, dtype="mixed_bfloat16")
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    run = ImagePass(model.nonlinearity)
    images = run.lazy(random_values(2, 8, 8, 2))
    assert run(model.u_input, images).raw.dtype == tf.bfloat16
    assert model(random_values(2, 8, 8, 1)).dtype == tf.float32  # of the head


def test_ones_channel():
    image = random_values(1, 4, 4, 3)
    padded = add_ones_channel(image)
    np.testing.assert_array_equal(padded[..., :3], image)
    np.testing.assert_array_equal(padded[..., 3], np.ones([1, 4, 4]))
