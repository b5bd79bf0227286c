"""A model as a distribution of TensorFlow Probability."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from small import ONE_STAGE, random_values

import pixelcnn_tf
from pixelcnn_tf import GatedPixelCNN, PixelCNNPlusPlus
from pixelcnn_tf.levels import levels_to_input

tfp = pytest.importorskip("tensorflow_probability")
tfd = tfp.distributions
PixelCNNDistribution = pixelcnn_tf.PixelCNNDistribution


@pytest.fixture(scope="module")
def rgb():
    return PixelCNNPlusPlus((2, 4, 3), **ONE_STAGE)


@pytest.fixture(scope="module")
def conditional():
    return PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE, num_classes=3)


@pytest.fixture
def helpers():
    """tfp's own helpers; they read flags."""
    from tensorflow_probability.python.internal import test_util

    parsed = flags.FLAGS.is_parsed()
    flags.FLAGS.mark_as_parsed()

    class Helpers(
        test_util.DiscreteScalarDistributionTestHelpers,
        test_util.VectorDistributionTestHelpers,
        test_util.TestCase,
    ):
        pass

    yield Helpers()
    if not parsed:
        flags.FLAGS.unparse_flags()


def test_samples_and_log_prob_equal_the_models(rgb):
    distribution = PixelCNNDistribution(rgb)
    assert distribution.event_shape == [2, 4, 3] and distribution.batch_shape == []
    images = distribution.sample(3, seed=[1, 2])
    assert images.dtype == tf.float32 and images.shape == [3, 2, 4, 3]
    np.testing.assert_array_equal(images, np.round(images))
    assert 0 <= np.min(images) and 1 < np.max(images) <= 255
    expected = rgb.log_prob(levels_to_input(images))
    np.testing.assert_allclose(distribution.log_prob(images), expected, rtol=1e-6)
    assert distribution.log_prob(images[0]).shape == []
    assert distribution.log_prob(images[None]).shape == [1, 3]
    assert distribution.sample(seed=1).shape == [2, 4, 3]
    assert distribution.sample(0, seed=1).shape == [0, 2, 4, 3]
    assert len(distribution.trainable_variables) == len(rgb.trainable_variables)


def test_values_and_integers(rgb):
    images = PixelCNNDistribution(rgb).sample(2, seed=[1, 2])
    values = PixelCNNDistribution(rgb, images="values")
    integers = PixelCNNDistribution(rgb, dtype=tf.uint8)
    np.testing.assert_array_equal(values.sample(2, seed=[1, 2]), levels_to_input(images))
    drawn = integers.sample(2, seed=[1, 2])
    assert drawn.dtype == tf.uint8
    np.testing.assert_array_equal(drawn, images)
    expected = PixelCNNDistribution(rgb).log_prob(images)
    np.testing.assert_array_equal(integers.log_prob(drawn), expected)
    np.testing.assert_array_equal(values.log_prob(levels_to_input(images)), expected)


def test_in_a_graph(rgb):
    distribution = PixelCNNDistribution(rgb)
    seed = tf.constant([1, 2])

    @tf.function(autograph=False)
    def both(n):
        images = distribution.sample(n, seed=seed)
        return images, distribution.log_prob(images)

    images, log_prob = both(tf.constant(2))
    np.testing.assert_array_equal(images, distribution.sample(2, seed=seed))
    np.testing.assert_allclose(log_prob, distribution.log_prob(images), rtol=1e-5)


def test_log_prob_trains_the_model(rgb):
    distribution = PixelCNNDistribution(rgb)
    images = distribution.sample(2, seed=1)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_sum(distribution.log_prob(images, training=True, dropout_seed=3))
    gradients = tape.gradient(loss, distribution.trainable_variables)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_conditions_as_of_tfp(conditional):
    """The calls of the documented example of `tfd.PixelCNN`."""
    distribution = PixelCNNDistribution(conditional)
    assert distribution.sample(2, seed=1, conditional_input=2.0).shape == [2, 4, 4, 1]
    images = distribution.sample((2, 3), seed=1, conditional_input=[0.0, 1.0, 2.0])
    assert images.shape == [2, 3, 4, 4, 1]
    scores = distribution.log_prob(images, conditional_input=[0.0, 1.0, 2.0])
    for label in range(3):
        expected = conditional.log_prob(levels_to_input(images[:, label]), [label, label])
        np.testing.assert_allclose(scores[:, label], expected, rtol=1e-5)
    one = distribution.log_prob(images[0, 0], conditional_input=[0, 1, 2])
    assert one.shape == [3]
    np.testing.assert_allclose(one[0], scores[0, 0], rtol=1e-5)


def test_conditions_of_a_batch(conditional):
    batch = PixelCNNDistribution(conditional, conditional_input=[0, 1, 2])
    assert batch.batch_shape == [3] and batch.batch_shape_tensor().numpy().tolist() == [3]
    images = batch.sample(2, seed=1)
    scores = batch.log_prob(images)
    assert images.shape == [2, 3, 4, 4, 1] and scores.shape == [2, 3]
    whole = tfd.Independent(batch, 1)
    assert whole.event_shape == [3, 4, 4, 1]
    np.testing.assert_allclose(whole.log_prob(images), np.sum(scores, axis=1), rtol=1e-6)
    np.testing.assert_allclose(batch[1:].log_prob(images[:, 1:]), scores[:, 1:], rtol=1e-5)
    assert batch.copy(images="values").sample(seed=1).numpy().min() >= -1.0
    vectors = PixelCNNDistribution(conditional, conditional_input=np.eye(3), conditional_shape=(3,))
    assert vectors.batch_shape == [3]
    np.testing.assert_allclose(vectors.log_prob(images), scores, rtol=1e-5)


def test_maps_as_conditions():
    model = GatedPixelCNN(
        (2, 2, 1), nr_resnet=1, nr_filters=2, num_head_filters=2, spatial_channels=2
    )
    maps = random_values(3, 2, 2, 2)
    distribution = PixelCNNDistribution(model, conditional_input=maps)
    assert distribution.batch_shape == [3]
    assert distribution.log_prob(tf.zeros([2, 2, 1])).shape == [3]
    with pytest.raises(ValueError, match="conditional_input of dtype int64"):
        PixelCNNDistribution(model, conditional_input=np.ones([3, 2, 2, 2], int))


def test_half_precision_must_hold_the_levels(rgb):
    arguments = dict(nr_resnet=1, nr_filters=2, num_head_filters=2)
    with pytest.raises(ValueError, match="dtype=bfloat16: .*512 levels"):
        PixelCNNDistribution(
            GatedPixelCNN((2, 2, 1), num_levels=512, **arguments), dtype="bfloat16"
        )
    images = PixelCNNDistribution(rgb).sample(2, seed=1)
    values = PixelCNNDistribution(rgb, images="values", dtype=tf.bfloat16)
    half = tf.cast(levels_to_input(images), tf.bfloat16)  # off by up to a quarter of a bin
    expected = PixelCNNDistribution(rgb).log_prob(images)
    np.testing.assert_array_equal(values.log_prob(half), expected)
    with pytest.raises(ValueError, match="images of dtype uint8"):
        values.log_prob(tf.cast(images, tf.uint8))


def test_it_can_be_created_inside_a_graph(conditional):
    labels = tf.constant([0, 2])
    images = PixelCNNDistribution(conditional, conditional_input=labels).sample(seed=1)

    def score(labels):
        return PixelCNNDistribution(conditional, conditional_input=labels).log_prob(images)

    np.testing.assert_allclose(tf.function(score)(labels), score(labels), rtol=1e-5)


def test_sample_around_it(rgb):
    one = PixelCNNDistribution(rgb)
    two = tfd.Sample(one, 2)
    images = two.sample(3, seed=1)
    assert images.shape == [3, 2, 2, 4, 3]
    expected = np.sum(one.log_prob(images), axis=1)
    np.testing.assert_allclose(two.log_prob(images), expected, rtol=1e-5)


def test_invalid_arguments_are_named(rgb, conditional):
    for arguments, message in [
        (dict(images="pixels"), "images='pixels'"),
        (dict(images="values", dtype=tf.int32), "dtype=int32"),
        (dict(dtype=tf.int8), "dtype=int8: .*256 levels"),
        (dict(conditional_input=[1]), "conditional_input: must be None"),
        (dict(conditional_shape=(3,)), r"conditional_shape=\(3,\)"),
    ]:
        with pytest.raises(ValueError, match=message.removeprefix("--")):
            PixelCNNDistribution(rgb, **arguments)
    distribution = PixelCNNDistribution(conditional)
    with pytest.raises(ValueError, match="labels: missing"):
        distribution.sample(2, seed=1)
    with pytest.raises(ValueError, match="conditional_input of shape"):
        distribution.sample(4, seed=1, conditional_input=[0, 1, 2])
    with pytest.raises(ValueError, match="conditional_input: must be None"):
        PixelCNNDistribution(conditional, conditional_input=[1]).sample(conditional_input=[1])
    strict = PixelCNNDistribution(rgb, validate_args=True)
    for wrong in (-1.0, 0.5, 256.0):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"integers in 0 \.\.\. 255"):
            strict.log_prob(tf.fill([2, 4, 3], wrong))
    strict = PixelCNNDistribution(rgb, images="values", validate_args=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must be in \[-1, 1\]"):
        strict.log_prob(tf.fill([2, 4, 3], 1.5))


def random_weights(model):
    for number, variable in enumerate(model.trainable_variables):
        variable.assign(tf.random.stateless_normal(variable.shape, [number, 0]) * 0.5)


def test_helpers_of_tfp(helpers):
    """Samples fall on each level as often as `log_prob` says, for an image of one sub-pixel."""
    model = PixelCNNPlusPlus((1, 1, 1), **ONE_STAGE, num_levels=4)
    random_weights(model)
    scalar = tfd.TransformedDistribution(
        PixelCNNDistribution(model), tfp.bijectors.Reshape([], [1, 1, 1])
    )
    np.testing.assert_allclose(np.sum(scalar.prob(tf.range(4.0))), 1.0, rtol=1e-4)
    helpers.run_test_sample_consistent_log_prob(
        lambda tensors: [np.asarray(tensor) for tensor in tensors],
        scalar,
        num_samples=10_000,
        num_threshold=100,
        seed=1,
        batch_size=1,
        rtol=0.1,
    )


def test_probabilities_of_all_images_sum_to_one(helpers):
    model = PixelCNNPlusPlus((2, 2, 1), **ONE_STAGE, num_levels=3)
    random_weights(model)
    images = np.indices([3] * 4).reshape(4, -1).T.reshape(-1, 2, 2, 1)
    distribution = PixelCNNDistribution(model, dtype=tf.int32)
    probabilities = np.exp(distribution.log_prob(images))
    np.testing.assert_allclose(probabilities.sum(), 1.0, rtol=1e-3)
    drawn = distribution.sample(4_000, seed=[1, 2]).numpy().reshape(-1, 4) @ [27, 9, 3, 1]
    counts = np.bincount(drawn, minlength=81) / 4_000
    deviation = np.sqrt(probabilities * (1 - probabilities) / 4_000)
    assert np.abs(counts - probabilities).max() < 5 * deviation.max()


def test_missing_tfp_names_the_package_to_install(monkeypatch):
    """That the rest does without: tests/program/commands/test_processes.py."""
    monkeypatch.setitem(sys.modules, "tensorflow_probability", None)
    monkeypatch.delitem(sys.modules, "pixelcnn_tf.distribution")
    with pytest.raises(ImportError, match=r"pip install 'pixelcnn_tf\[tfp\]'"):
        pixelcnn_tf.PixelCNNDistribution  # noqa: B018


def test_log_prob_rejects_images_of_another_shape(rgb):
    distribution = PixelCNNDistribution(rgb)
    for shape in ([4, 2, 3], [1, 8, 3], [24], [2, 4, 1]):
        with pytest.raises(ValueError, match=r"must be \[\.\.\., 2, 4, 3\]"):
            distribution.log_prob(tf.zeros([5, *shape]))


def test_levels_with_rounding_errors(rgb):
    distribution = PixelCNNDistribution(rgb)
    levels = distribution.sample(2, seed=[1, 2])
    np.testing.assert_array_equal(
        distribution.log_prob(levels - 1e-4), distribution.log_prob(levels)
    )


def test_samples_follow_the_order_of_the_conditions():
    model = PixelCNNPlusPlus((4, 4, 3), **ONE_STAGE, num_classes=3)
    for block in (*model.ul_up[0], *model.ul_down[0]):
        block.hw.assign(block.hw * 200.0)
    distribution = PixelCNNDistribution(model)
    images = distribution.sample((2, 3), seed=[1, 2], conditional_input=[0.0, 1.0, 2.0])
    batch = PixelCNNDistribution(model, conditional_input=[0, 1, 2]).sample(2, seed=[1, 2])
    np.testing.assert_array_equal(batch, images)
    for label in range(3):
        alike = distribution.sample((2, 3), seed=[1, 2], conditional_input=[float(label)] * 3)
        np.testing.assert_array_equal(alike[:, label], images[:, label])
        differing = (alike != images).numpy().any(axis=(0, 2, 3, 4))
        assert differing.tolist() == [other != label for other in range(3)]
