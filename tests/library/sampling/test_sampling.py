import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from small import ONE_STAGE, SMALLEST, with_encoder

from pixelcnn_tf import (
    PixelCNNPlusPlus,
    data_dependent_init,
    discretized_mix_logistic_loss,
    sampling,
)
from pixelcnn_tf.levels import level_values
from pixelcnn_tf.likelihoods.base import Likelihood
from pixelcnn_tf.sampling.completion import xla_pays

METHODS = pytest.mark.parametrize("method", ["cached", "naive"])


@pytest.fixture(scope="module")
def model():
    return PixelCNNPlusPlus((8, 4, 3), **ONE_STAGE)


@METHODS
def test_image_does_not_depend_on_the_number_or_the_batch_size(model, method):
    eight = sampling.sample(model, 8, seed=3, batch_size=5, method=method)
    three = sampling.sample(model, 3, seed=3, method=method)
    np.testing.assert_array_equal(eight[:3], three)
    assert np.abs(eight - sampling.sample(model, 8, seed=4, method=method)).max() > 0


@METHODS
def test_samples_are_levels(model, method):
    assert np.isin(sampling.sample(model, 2, seed=3, method=method), level_values()).all()


@METHODS
def test_completion_keeps_given_pixels_and_samples_the_rest(model, method):
    images = sampling.sample(model, 2, seed=3, method=method)
    given = tf.random.stateless_uniform([2, 8, 4, 3], [1, 1], -1.0, 1.0)
    mask = np.zeros([8, 4], np.uint8)
    mask[:4] = 1
    completed = sampling.complete(model, given, mask, seed=3, method=method)
    np.testing.assert_array_equal(completed[:, :4], given[:, :4])
    assert np.abs(completed[:, 4:] - given[:, 4:]).max() > 0
    nothing_given = sampling.complete(model, given, 0 * mask, seed=3, method=method)
    np.testing.assert_array_equal(nothing_given, images)
    # Given what was sampled under the same seed, the rest is as sampled.
    again = sampling.complete(model, images, mask, seed=3, method=method)
    np.testing.assert_array_equal(again, images)


@METHODS
def test_progress_counts_rows(model, method):
    rows = []
    sampling.sample(model, 3, seed=1, batch_size=2, progress=rows.append, method=method)
    assert sum(rows) == 2 * 8


CASES = {  # some of sizes that are not divisible by 4
    "rgb": dict(image_shape=(8, 12, 3)),
    "one channel, conditional": dict(image_shape=(12, 8, 1), num_classes=3, num_levels=17),
    "elu": dict(image_shape=(5, 7, 3), resnet_nonlinearity="elu", nr_resnet=2),
    "relu": dict(image_shape=(6, 9, 1), resnet_nonlinearity="relu"),
    "map": dict(image_shape=(6, 9, 3), spatial_channels=2),
    "vector": dict(image_shape=(6, 5, 1), condition="vector"),
    "energy": dict(image_shape=(7, 6, 3), energy_distance=True),
}


def labels_for(model, num):
    """Classes 0, 1, 2, ..., maps or vectors, as the model takes them; or None."""
    if model.spatial_channels:
        shape = [num, *model.image_shape[:2], model.spatial_channels]
        return tf.random.stateless_uniform(shape, [8, 9], -1.0, 1.0)
    if model.encoder is not None:
        return tf.random.stateless_normal([num, model.num_conditions], [8, 9])
    return np.arange(num) % 3 if model.num_classes else None


def trained_looking(dtype="float32", **arguments):
    """A model with normalised activations and biases that are not zero."""
    model = PixelCNNPlusPlus(**(SMALLEST | with_encoder(**arguments)), dtype=dtype)
    images = tf.random.stateless_uniform([6, *model.image_shape], [1, 2], -1.0, 1.0)
    data_dependent_init(model, images, labels_for(model, 6))
    for i, variable in enumerate(model.trainable_variables):
        if variable.name == "b":
            variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, [i, 3]))
    return model


def cached_parameters(model, images, labels=None, jit_compile=False):
    """The parameters of every pixel, `[B, H, W, P]`, as the cached sampler computes them."""
    batch = len(images)
    sampler = model.make_cached_sampler()
    by_row = tf.transpose(tf.cast(images, model.compute_dtype), [1, 2, 0, 3])
    fill = tf.function(sampler.fill_rows, autograph=False, jit_compile=jit_compile)
    uniforms = tf.fill([*by_row.shape[:3], model.likelihood.num_uniforms], 0.5)
    rows, parameters, _ = fill(
        sampler.normalized_weights(),
        sampler.conditions(model.conditioning(labels)),
        sampler.start(batch),
        by_row,
        tf.ones_like(by_row[..., :1]),
        uniforms,
        tf.constant([0, len(by_row)]),
        (False, 1.0, True),
    )
    np.testing.assert_array_equal(rows, by_row)
    return tf.transpose(parameters, [2, 0, 1, 3])


def assert_cached_equals_full_pass(model, batch, jit_compile=False):
    labels = labels_for(model, batch)
    images = tf.random.stateless_uniform([batch, *model.image_shape], [5, 6], -1.0, 1.0)
    parameters = cached_parameters(model, images, labels, jit_compile)
    expected = model(images, labels)
    bound = 1e-12 if model.compute_dtype == "float64" else 1e-4
    np.testing.assert_allclose(parameters, expected, atol=bound, rtol=0)


@pytest.mark.parametrize(
    "case, dtype, num_stages",
    [  # a stage more doubles the tracing, and has the same layers as the second
        ("rgb", "float64", 3),
        ("relu", "float64", 3),
        ("rgb", "float32", 2),
        ("one channel, conditional", "float64", 2),
        ("elu", "float64", 2),
        ("map", "float64", 2),
        pytest.param("rgb", "float32", 3, marks=pytest.mark.slow),
        pytest.param("one channel, conditional", "float64", 3, marks=pytest.mark.slow),
        pytest.param("elu", "float64", 3, marks=pytest.mark.slow),
        pytest.param("map", "float64", 3, marks=pytest.mark.slow),
        pytest.param("vector", "float64", 3, marks=pytest.mark.slow),
    ],
)
def test_cached_parameters_equal_the_full_pass_at_every_pixel(case, dtype, num_stages):
    model = trained_looking(dtype, num_stages=num_stages, **CASES[case])
    assert_cached_equals_full_pass(model, batch=3)


@pytest.mark.slow
def test_cached_parameters_equal_the_full_pass_compiled_with_xla():
    model = trained_looking(image_shape=(8, 8, 3), num_stages=2)
    assert_cached_equals_full_pass(model, 3, jit_compile=True)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 7), (9, 9), (30, 30), (33, 18)], ids=str)
def test_cached_equals_naive_at_any_size(size, channels):
    model = trained_looking("float64", image_shape=(*size, channels))
    assert_cached_equals_full_pass(model, batch=2)
    cached, naive = (
        sampling.sample(model, 2, seed=7, method=method) for method in ("cached", "naive")
    )
    np.testing.assert_array_equal(cached, naive)


@pytest.mark.slow
def test_cached_parameters_equal_the_full_pass_at_paper_size():
    model = trained_looking(image_shape=(32, 32, 3), nr_resnet=5, nr_filters=160)
    assert_cached_equals_full_pass(model, batch=3)


@pytest.mark.parametrize(
    "case",
    [
        "rgb",
        "one channel, conditional",
        "energy",
        "float64",
        # Both samplers have the same parameters: above. Drawing from them is the same code.
        *(pytest.param(case, marks=pytest.mark.slow) for case in ("elu", "relu", "map", "vector")),
    ],
)
def test_both_samplers_give_the_same_images(case):
    float64 = dict(num_stages=1, image_shape=(8, 8, 3), dtype="float64")
    # All three stages against the full pass: above.
    model = trained_looking(**(dict(num_stages=2) | CASES.get(case, float64)))
    labels = labels_for(model, 3)
    cached, naive = (
        sampling.sample(model, 3, seed=7, labels=labels, method=method)
        for method in ("cached", "naive")
    )
    np.testing.assert_array_equal(cached, naive)
    assert len(np.unique(cached)) > 5
    if isinstance(model.likelihood, Likelihood):
        cold, naive = (
            sampling.sample(model, 3, seed=7, labels=labels, method=method, temperature=0.7)
            for method in ("cached", "naive")
        )
        np.testing.assert_array_equal(cold, naive)
        assert np.abs(cold - cached).max() > 0


def test_unrounded_samples_agree():
    model = trained_looking(num_stages=1, image_shape=(8, 8, 3))
    cached, naive = (
        sampling.sample(model, 3, seed=7, quantize=False, method=method)
        for method in ("cached", "naive")
    )
    np.testing.assert_allclose(cached, naive, atol=1e-4)


def test_xla_gives_the_same_images_and_is_chosen_for_much_work_only():
    model = trained_looking(num_stages=1, image_shape=(8, 8, 1))
    compiled, plain = (
        sampling.sample(model, 3, seed=7, jit_compile=jit_compile) for jit_compile in (True, False)
    )
    np.testing.assert_array_equal(compiled, plain)
    assert not xla_pays(model, num_batches=1)
    assert xla_pays(model, num_batches=1000)


@METHODS
@pytest.mark.parametrize("options", [dict(num_classes=3), dict(energy_distance=True)])
def test_bfloat16_model_samples_levels_and_keeps_given_pixels(method, options):
    model = PixelCNNPlusPlus((4, 4, 3), **ONE_STAGE, **options, dtype="mixed_bfloat16")
    given = tf.random.stateless_uniform([2, 4, 4, 3], [1, 1], -1.0, 1.0)
    mask = np.zeros([4, 4])
    mask[:2] = 1
    labels = [0, 1] if model.num_classes else None
    completed = sampling.complete(model, given, mask, seed=1, labels=labels, method=method)
    np.testing.assert_array_equal(completed[:, :2], given[:, :2])
    assert np.isin(completed[:, 2:], level_values()).all()


@METHODS
def test_sampled_model_is_freed(method):
    model = PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE)
    sampling.sample(model, 1, seed=1, method=method)
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


def test_changed_weights_are_used():
    model = trained_looking(num_stages=1, image_shape=(8, 8, 1))
    before = sampling.sample(model, 2, seed=7)
    for variable in model.trainable_variables:
        variable.assign(variable * 1.3)
    after = sampling.sample(model, 2, seed=7)
    assert np.abs(after - before).max() > 0
    np.testing.assert_array_equal(after, sampling.sample(model, 2, seed=7, method="naive"))


def test_conditional_model_follows_its_labels():
    model = PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE, num_classes=3)
    for block in model.ul_up[0]:
        block.hw.assign(block.hw * 200.0)
    same = sampling.sample(model, 2, seed=1, labels=[1, 1])
    mixed = sampling.sample(model, 2, seed=1, labels=[1, 2])
    np.testing.assert_array_equal(same[0], mixed[0])
    assert np.abs(same[1] - mixed[1]).max() > 0


def test_energy_model_samples():
    model = PixelCNNPlusPlus((4, 4, 3), **ONE_STAGE, energy_distance=True)
    images = sampling.sample(model, 3, seed=1)
    assert images.shape == [3, 4, 4, 3] and np.isin(images, level_values()).all()
    np.testing.assert_array_equal(images[:2], sampling.sample(model, 2, seed=1))
    with pytest.raises(ValueError, match="temperature=0.5"):
        sampling.sample(model, 3, seed=1, temperature=0.5)


@pytest.fixture(scope="module")
def all_images():
    """A model of 3x3 images with 2 levels, and the exact probabilities of all 2^9 of them."""
    model = PixelCNNPlusPlus((3, 3, 1), **ONE_STAGE, num_levels=2)
    random_images = tf.random.stateless_uniform([50, 3, 3, 1], [1, 2], -1.0, 1.0)
    data_dependent_init(model, random_images)
    # Narrow components: each pixel depends strongly on those before it.
    model.head.nin.b.assign_add([0.0, 0.0, 0.0, 0.0, -2.5, -2.5])
    bits = (np.arange(2**9)[:, None] >> np.arange(9)) & 1
    every = (2.0 * bits - 1.0).astype(np.float32).reshape(-1, 3, 3, 1)
    nats = discretized_mix_logistic_loss(every, model(every), False, num_levels=2).numpy()
    probabilities = np.exp(-nats.astype(np.float64))
    np.testing.assert_allclose(probabilities.sum(), 1.0, atol=1e-3)
    # Not a uniform distribution: the test sees a wrong dependence.
    assert probabilities.max() > 10 / 2**9
    return model, probabilities


@METHODS
def test_samples_follow_the_exact_probabilities_of_all_images(all_images, method):
    """Chi-square over all 2^9 images of 3x3 with 2 levels, in 64 groups."""
    model, probabilities = all_images
    # 64 groups of 8 images each, from the least to the most probable.
    groups = np.empty(2**9, int)
    groups[np.argsort(probabilities)] = np.arange(2**9) // 8
    count = 20_000
    expected = count * np.bincount(groups, probabilities, minlength=64)
    sampled = sampling.sample(model, count, seed=9, batch_size=5000, method=method).numpy()
    numbers = (sampled.reshape(count, 9) > 0) @ (1 << np.arange(9))
    observed = np.bincount(groups[numbers], minlength=64)
    chi_square = np.sum((observed - expected) ** 2 / expected)
    # The statistic has mean 63 and variance 126; uniform images are far outside.
    assert chi_square < 63 + 5 * np.sqrt(126)
    uniform = count / 64
    assert np.sum((uniform - expected) ** 2 / expected) > 63 + 100 * np.sqrt(126)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(num_samples=0), "num_samples=0"),
        (dict(num_samples=2.0), "num_samples=2.0"),
        (dict(seed=None), "seed, noise"),
        (dict(noise=tf.fill([1, 8, 4, 5], 0.5)), "seed, noise"),
        (dict(seed=1.5), "seed=1.5"),
        (dict(seed="x"), "seed='x'"),
        (dict(seed=True), "seed=True"),
        (dict(seed=-1), "seed=-1"),
        (dict(seed=[1, 2, 3]), "seed of shape"),
        (dict(seed=[[1, 2]] * 2), r"seed of shape \(2, 2\)"),
        (dict(temperature=0.0), "temperature=0"),
        (dict(temperature=float("inf")), "temperature=inf"),
        (dict(temperature=float("nan")), "temperature=nan"),
        (dict(temperature="1"), "temperature='1'"),
        (dict(quantize="no"), "quantize='no'"),
        (dict(method="fast"), "method='fast'"),
        (dict(batch_size=0), "batch_size=0"),
        (dict(batch_size=1.5), "batch_size=1.5"),
        (dict(labels=[1]), "labels: .*num_classes=None"),
    ],
)
def test_invalid_argument_is_named(model, options, message):
    with pytest.raises(ValueError, match=message):
        sampling.sample(model, **(dict(num_samples=1, seed=1) | options))


def test_shape_of_noise_is_checked(model):
    with pytest.raises(ValueError, match=r"noise of shape \[1, 8, 4, 3\]: must be \[1, 8, 4, 5\]"):
        sampling.sample(model, 1, seed=None, noise=tf.zeros([1, 8, 4, 3]))


def test_shape_of_mask_is_checked(model):
    with pytest.raises(ValueError, match="mask of shape"):
        sampling.complete(model, tf.zeros([2, 8, 4, 3]), tf.zeros([4, 4]), seed=1)


@pytest.mark.parametrize("energy_distance", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_mixed_precision(energy_distance):
    """Computed in bfloat16, both samplers begin alike (and part where rounding decides). The first
    pixel depends on no other, only on its noise, which is not rounded."""
    model = PixelCNNPlusPlus(
        (4, 4, 3), dtype="mixed_bfloat16", energy_distance=energy_distance, **ONE_STAGE
    )
    assert model(tf.zeros([1, 4, 4, 3])).dtype == tf.float32
    cached, naive = (
        sampling.sample(model, 2, seed=3, method=m, quantize=False) for m in ("cached", "naive")
    )
    np.testing.assert_allclose(cached[:, 0, 0], naive[:, 0, 0], atol=1e-5)
    assert np.isin(sampling.sample(model, 2, seed=3), level_values()).all()


def test_cached_parameters_in_mixed_precision():
    """Within what bfloat16 errs by, against float32 as the full pass in bfloat16 does."""
    model = trained_looking("mixed_bfloat16", num_stages=1, image_shape=(6, 5, 3))
    exact = PixelCNNPlusPlus.from_config(model.get_config() | {"dtype": "float32"})
    exact.set_weights(model.get_weights())
    images = tf.random.stateless_uniform([2, 6, 5, 3], [5, 6], -1.0, 1.0)
    images = tf.cast(tf.cast(images, tf.bfloat16), tf.float32)
    expected = exact(images)
    by_full_pass = tf.reduce_max(tf.abs(model(images) - expected))
    by_cached = tf.reduce_max(tf.abs(cached_parameters(model, images) - expected))
    assert 0 < by_cached < 2 * by_full_pass < 0.2 * tf.reduce_max(tf.abs(expected))


@METHODS
def test_every_batch_has_its_own_conditions_masks_and_images(method):
    model = PixelCNNPlusPlus((4, 4, 3), **ONE_STAGE, num_classes=3)
    for block in (*model.ul_up[0], *model.ul_down[0]):
        block.hw.assign(block.hw * 200.0)
    given = tf.random.stateless_uniform([5, 4, 4, 3], [1, 1], -1.0, 1.0)
    mask = np.random.default_rng(0).random([5, 4, 4]) < 0.2
    options = dict(seed=1, method=method)
    whole, parts = (
        sampling.complete(model, given, mask, labels=[0, 1, 2, 0, 1], batch_size=size, **options)
        for size in (5, 2)
    )
    np.testing.assert_array_equal(whole, parts)
    # What the labels of the first batch would give in all.
    other = sampling.complete(model, given, mask, labels=[0, 1, 0, 1, 0], batch_size=5, **options)
    assert (other != whole).numpy().any(axis=(1, 2, 3)).tolist() == [False, False, True, True, True]
