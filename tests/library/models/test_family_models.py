"""PixelCNN, PixelRNN and Gated PixelCNN: layers, parameters, likelihood, samples, conditions."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from family import FAMILY, lively, small
from small import random_values, with_encoder

from pixelcnn_tf import GatedPixelCNN, PixelCNN, sampling
from pixelcnn_tf.layers.masked_convolution import MaskedConv2D, channel_groups, convolution_mask
from pixelcnn_tf.levels import input_to_levels, level_values, levels_to_input
from pixelcnn_tf.likelihoods.categorical import Categorical
from pixelcnn_tf.models.pixel_rnn.diagonal_bilstm import DiagonalBiLSTMBlock, skew, unskew
from pixelcnn_tf.models.pixel_rnn.row_lstm import RowLSTMBlock
from pixelcnn_tf.models.pixelcnn import ResidualBlock
from train.data.options import DataOptions

EVERY = pytest.mark.parametrize("name", FAMILY)


def every_image(image_shape, num_levels):
    """All images of a shape, levels `[num_levels ** (H W C), H, W, C]`."""
    size = int(np.prod(image_shape))
    return np.array(list(itertools.product(range(num_levels), repeat=size))).reshape(
        -1, *image_shape
    )


# The masked convolution


def test_groups_are_even():
    assert list(channel_groups(6, 3)) == [0, 0, 1, 1, 2, 2]
    assert list(np.bincount(channel_groups(128, 3))) == [43, 43, 42]
    assert not channel_groups(5, 1).any()


def test_masks_as_in_the_paper():
    """Figure 4: R sees the pixels before; G also R; B also R and G; type B itself too."""
    groups = channel_groups(3, 3)
    a, b = (convolution_mask((3, 3), kind, groups, groups) for kind in "AB")
    for mask in (a, b):
        assert mask[0].all() and mask[1, 0].all()  # the row above, the pixel to the left
        assert not mask[2].any() and not mask[1, 2].any()
    # [input, output]
    np.testing.assert_array_equal(a[1, 1], [[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(b[1, 1], [[1, 1, 1], [0, 1, 1], [0, 0, 1]])


@pytest.mark.parametrize("kernel_size", [(1, 1), (1, 5), (3, 3), (5, 7)])
def test_masked_convolution_is_the_convolution_with_the_masked_kernel(kernel_size):
    layer = MaskedConv2D(12, kernel_size, "B", groups=3, parts=2)
    x = random_values(2, 5, 6, 9)
    actual = layer(x)
    full = tf.nn.conv2d(x, layer.kernel * layer.mask, 1, "SAME") + layer.bias
    np.testing.assert_allclose(actual, full, atol=1e-5)
    # The two parts have the same groups.
    np.testing.assert_array_equal(layer.mask[..., :6], layer.mask[..., 6:])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(filters=4, kernel_size=(3, 3), mask_type="C"), "mask_type='C'"),
        (dict(filters=4, kernel_size=(2, 3)), "kernel_size="),
        (dict(filters=2, kernel_size=(3, 3), groups=3), "filters=2"),
        (dict(filters=6, kernel_size=(3, 3), parts=4), "filters=6"),
    ],
)
def test_invalid_argument_of_masked_convolution_is_named(arguments, message):
    with pytest.raises(ValueError, match=message.removeprefix("--")):
        MaskedConv2D(**arguments)


# The LSTMs, against loops over pixels


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def numpy_lstm_step(gates, c):
    output, forget, enter, content = np.split(gates, 4, axis=-1)
    c = sigmoid(forget) * c + sigmoid(enter) * np.tanh(content)
    return sigmoid(output) * np.tanh(c), c


def test_row_lstm_equals_a_loop_over_pixels():
    block = RowLSTMBlock(4, groups=1, dtype="float64")
    x = tf.cast(random_values(1, 5, 6, 8), tf.float64)
    actual = block(x)[0]
    gates = block.input_to_state(x)[0].numpy()
    kernel = block.state_to_state.numpy()  # [3, 4, 16]
    h, c = np.zeros([6, 8, 4]), np.zeros([6, 8, 4])  # one row and two columns of zeros around
    for row in range(5):
        for column in range(6):
            above = h[row, column : column + 3]  # left above, above, right above
            state = gates[row, column] + np.einsum("kf,kfg->g", above, kernel)
            h[row + 1, column + 1], c[row + 1, column + 1] = numpy_lstm_step(
                state, c[row, column + 1]
            )
    expected = x[0] + block.bottleneck_out(h[None, 1:, 1:-1])[0]
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_diagonal_bilstm_equals_a_loop_over_pixels():
    block = DiagonalBiLSTMBlock(4, groups=1, dtype="float64")
    x = tf.cast(random_values(1, 5, 6, 8), tf.float64)
    actual = block(x)[0]

    def run(layer, x):
        gates = layer.input_to_state(x)[0].numpy()
        from_above, from_left = np.split(layer.state_to_state.numpy(), 2)
        h, c = np.zeros([6, 7, 4]), np.zeros([6, 7, 4])  # a row and a column of zeros before
        for row in range(5):
            for column in range(6):
                above, left = h[row, column + 1], h[row + 1, column]
                state = gates[row, column] + above @ from_above + left @ from_left
                # c is carried along the columns of the skewed map: from the left.
                h[row + 1, column + 1], c[row + 1, column + 1] = numpy_lstm_step(
                    state, c[row + 1, column]
                )
        return h[1:, 1:]

    right = run(block.to_right, x)
    left = run(block.to_left, x[:, :, ::-1])[:, ::-1]
    shifted = np.concatenate([np.zeros([1, 6, 4]), left[:-1]])
    expected = x[0] + block.bottleneck_out((right + shifted)[None])[0]
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_skewed_map():
    x = tf.reshape(tf.range(1.0, 7.0), [1, 2, 3, 1])
    np.testing.assert_array_equal(skew(x)[0, ..., 0], [[1, 2, 3, 0], [0, 4, 5, 6]])
    for shape in [(2, 5, 3, 2), (2, 3, 5, 2), (2, 1, 4, 1), (2, 4, 1, 1)]:
        x = random_values(*shape)
        np.testing.assert_array_equal(unskew(skew(x), shape[2]), x)


# Parameters, derived from the papers


def count(rows, columns, inputs, outputs, bias=True):
    return rows * columns * inputs * outputs + bias * outputs


def head(inputs, wide, channels, levels):
    """Two layers of 1x1 convolution, and the softmax's."""
    logits = count(1, 1, wide, channels * levels)
    return count(1, 1, inputs, wide) + count(1, 1, wide, wide) + logits


def by_hand(name, channels, layers, h, wide, levels, conditions=0):
    """Parameters as the papers describe the networks (masks do not change a kernel's size)."""
    if name == "gated_pixelcnn":
        # Figure 2, p = h, n = 5; 7 in the first layer, which sees the image.
        total = 0
        for n, inputs in [(7, channels)] + [(5, h)] * layers:
            total += count(n // 2 + 1, n, inputs, 2 * h)  # n x n without the rows below
            total += count(1, 1, 2 * h, 2 * h)  # vertical to horizontal
            total += count(1, n, inputs, 2 * h)  # 1 x n
            total += count(1, 1, h, h)
        # V_f and V_g of both stacks, but for the vertical one of the last layer, which nothing
        # follows.
        total += (2 * (layers + 1) - 1) * 2 * h * conditions
        return total + head(h, wide, channels, levels)
    blocks = {
        # 2h -> h, 3 x 3 on h, h -> 2h
        "pixelcnn": count(1, 1, 2 * h, h) + count(3, 3, h, h) + count(1, 1, h, 2 * h),
        # input-to-state 1 x 3 to four gates, state-to-state 1 x 3 in the same sum, h -> 2h
        "row_lstm": count(1, 3, 2 * h, 4 * h)
        + count(1, 3, h, 4 * h, bias=False)
        + count(1, 1, h, 2 * h),
        # for each direction: input-to-state 1 x 1, state-to-state 2 x 1; h -> 2h once
        "diagonal_bilstm": 2 * (count(1, 1, 2 * h, 4 * h) + count(2, 1, h, 4 * h, bias=False))
        + count(1, 1, h, 2 * h),
    }
    first = count(7, 7, channels, 2 * h)
    return first + layers * blocks[name] + head(2 * h, wide, channels, levels)


@pytest.mark.parametrize("channels", [1, 3])
@EVERY
def test_number_of_parameters(name, channels):
    model = small(name, (5, 4, channels), nr_filters=10, num_head_filters=7, num_levels=5)
    assert model.count_params() == by_hand(name, channels, 2, 10, 7, 5)


@pytest.mark.slow
def test_number_of_parameters_of_the_defaults():
    """The sizes of the papers, for 8-bit colour images."""
    layers = {"pixelcnn": 15, "row_lstm": 12, "diagonal_bilstm": 12}
    for name, nr_resnet in layers.items():
        model = FAMILY[name]((4, 4, 3))
        assert model.nr_resnet == nr_resnet
        assert model.count_params() == by_hand(name, 3, nr_resnet, 128, 1024, 256)


def test_number_of_parameters_of_conditional_models():
    for condition in (dict(num_classes=6), dict(spatial_channels=6)):
        model = small("gated_pixelcnn", (4, 4, 1), **condition)
        assert model.count_params() == by_hand("gated_pixelcnn", 1, 2, 12, 24, 3, conditions=6)


# The likelihood


def test_categorical_against_tensorflow_probability():
    import tensorflow_probability as tfp

    likelihood = Categorical(channels=2, num_levels=5)
    parameters = 3.0 * tf.random.stateless_normal([3, 4, 2, 10], [1, 2])
    levels = np.random.default_rng(1).integers(0, 5, [3, 4, 2, 2])
    actual = likelihood.log_prob(levels_to_input(levels, 5), parameters)
    logits = parameters.numpy().reshape(3, 4, 2, 2, 5)
    expected = tfp.distributions.Categorical(logits=logits).log_prob(levels).numpy().sum(axis=-1)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert actual.shape == [3, 4, 2] and actual.dtype == tf.float32
    coarse = likelihood.log_prob(levels_to_input(levels, 5), tf.cast(parameters, tf.bfloat16))
    assert coarse.dtype == tf.float32
    with pytest.raises(ValueError, match=r"2 channels \* 5 levels = 10"):
        likelihood.log_prob(levels_to_input(levels, 5), parameters[..., :9])


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_categorical_samples_through_the_inverse_of_the_distribution_function(temperature):
    likelihood = Categorical(channels=1, num_levels=4)
    logits = np.log([0.1, 0.2, 0.3, 0.4])
    powers = np.array([0.1, 0.2, 0.3, 0.4]) ** (1 / temperature)
    edges = np.cumsum(powers / powers.sum())
    uniforms = np.linspace(0.00123, 0.999, 1997)
    expected = np.searchsorted(edges, uniforms, side="right")
    sampled = likelihood.sample(
        tf.tile(logits[None, None, None], [1, 1, 1997, 1]),
        uniforms[None, None, :, None],
        temperature=temperature,
    )
    np.testing.assert_array_equal(sampled[0, 0, :, 0], level_values(4)[expected])


@pytest.mark.parametrize(
    "image_shape, num_levels, number", [((2, 2, 1), 3, 81), ((1, 2, 3), 2, 64)]
)
@EVERY
def test_probabilities_of_all_images_sum_to_one(name, image_shape, num_levels, number):
    model = lively(small(name, image_shape, num_levels=num_levels), scale=3.0)
    images = levels_to_input(every_image(image_shape, num_levels), num_levels)
    assert len(images) == number
    probabilities = np.exp(-model.likelihood.loss(images, model(images)))
    np.testing.assert_allclose(probabilities.sum(), 1.0, atol=1e-10)
    assert probabilities.max() > 3 / number  # not uniform: a wrong dependence would show


# Samples


@EVERY
def test_samples_follow_the_probabilities_of_all_images(name):
    """Chi-square over all 64 images of 1x2 pixels in colour: a pass of the network a channel."""
    model = lively(small(name, (1, 2, 3), num_levels=2, nr_resnet=1), scale=2.0)
    every = every_image((1, 2, 3), 2)
    images = levels_to_input(every, 2)
    expected = np.exp(-model.likelihood.loss(images, model(images)).numpy())
    count = 20_000
    noise = tf.random.stateless_uniform([count, 1, 2, 3], [5, 6])
    sampled = sampling.sample(model, count, seed=None, batch_size=5000, noise=noise).numpy() > 0
    numbers = sampled.reshape(count, 6) @ (1 << np.arange(5, -1, -1))
    np.testing.assert_array_equal(every.reshape(64, 6) @ (1 << np.arange(5, -1, -1)), range(64))
    observed = np.bincount(numbers, minlength=64)
    # Images of fewer than 5 expected cases are taken together.
    rare = count * expected < 5
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = count * np.append(expected[~rare], expected[rare].sum())
    degrees = len(expected) - 1
    assert degrees > 15
    chi_square = np.sum((observed - expected) ** 2 / np.maximum(expected, 1))
    assert chi_square < degrees + 5 * np.sqrt(2 * degrees)


@EVERY
def test_samples_do_not_depend_on_the_batch_and_completions_keep_what_is_given(name):
    model = lively(small(name, (4, 5, 3), num_levels=4, nr_resnet=1, dtype="float32"))
    five = sampling.sample(model, 5, seed=3, batch_size=2)
    np.testing.assert_array_equal(five[:3], sampling.sample(model, 3, seed=3))
    assert np.isin(five, level_values(4)).all() and len(np.unique(five)) == 4
    mask = np.zeros([4, 5])
    mask[:2] = 1
    given = random_values(5, 4, 5, 3)
    completed = sampling.complete(model, given, mask, seed=3)
    np.testing.assert_array_equal(completed[:, :2], given[:, :2])
    assert np.isin(completed[:, 2:], level_values(4)).all()
    # Given what was sampled under the same seed, the rest is as sampled.
    np.testing.assert_array_equal(sampling.complete(model, five, mask, seed=3), five)


# Conditions of Gated PixelCNN


def test_labels_equal_one_hot_vectors():
    model = small("gated_pixelcnn", (4, 4, 1), num_classes=3)
    images = tf.cast(random_values(2, 4, 4, 1), tf.float64)
    by_class = model(images, [2, 0])
    np.testing.assert_array_equal(by_class, model(images, tf.constant([[0.0, 0, 1], [1, 0, 0]])))
    other = model(images, [1, 0])
    assert np.abs(by_class[0] - other[0]).max() > 1e-3
    np.testing.assert_array_equal(by_class[1], other[1])
    with pytest.raises(ValueError, match="labels: missing"):
        model(images)


def test_vector_enters_every_gate_of_every_pixel():
    model = small("gated_pixelcnn", (4, 4, 1), num_classes=3)
    vectors = tf.Variable(random_values(2, 3), dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.zeros([2, 4, 4, 1]), vectors) ** 2)
    variables = [v for v in model.trainable_variables if "condition" in v.path]
    assert len(variables) == 5  # both stacks of three layers but the last vertical one
    for gradient in tape.gradient(loss, variables):
        assert (np.abs(gradient).sum(axis=0) > 0).all()
    constant = model(tf.zeros([2, 4, 4, 1]), vectors)
    moved = model(tf.zeros([2, 4, 4, 1]), vectors + 0.1)
    assert (np.abs(constant - moved).max(axis=-1) > 0).all()


def test_constant_map_equals_a_vector():
    """V * s of a map that is h everywhere is V^T h."""
    by_vector = small("gated_pixelcnn", (4, 5, 3), num_classes=2)
    by_map = small("gated_pixelcnn", (4, 5, 3), spatial_channels=2)
    by_map.set_weights(by_vector.get_weights())
    images = tf.cast(random_values(2, 4, 5, 3), tf.float64)
    vectors = tf.cast(random_values(2, 2, seed=3), tf.float64)
    maps = tf.tile(vectors[:, None, None], [1, 4, 5, 1])
    np.testing.assert_allclose(by_map(images, maps), by_vector(images, vectors), atol=1e-12)
    # A map conditions every pixel separately.
    changed = maps.numpy()
    changed[:, 2, 3] += 1.0
    differs = np.abs(by_map(images, changed) - by_map(images, maps)).max(axis=(0, 3)) > 0
    assert not differs[:2].any() and not differs[2, :3].any() and differs[2, 3]
    with pytest.raises(ValueError, match=r"maps \[B, 4, 5, 2\]"):
        by_map(images)


def test_samples_follow_their_condition():
    model = small("gated_pixelcnn", (3, 3, 1), spatial_channels=1, dtype="float32")
    for layer in model.gated_layers:
        layer.condition_horizontal.kernel.assign(20.0 * layer.condition_horizontal.kernel)
    maps = np.zeros([2, 3, 3, 1], np.float32)
    same = sampling.sample(model, 2, seed=1, labels=maps)
    maps[1] = 1.0
    other = sampling.sample(model, 2, seed=1, labels=maps)
    np.testing.assert_array_equal(same[0], other[0])
    assert np.abs(same[1] - other[1]).max() > 0


# The interface that all models share


@EVERY
def test_config_round_trip_and_keras_file(name, tmp_path):
    options = dict(num_classes=2, input_embedding=True) if name == "gated_pixelcnn" else {}
    model = small(name, (4, 5, 3), dtype="float32", **options)
    copy = FAMILY[name].from_config(model.get_config())
    assert copy.get_config() == model.get_config() | {"name": copy.name}
    model.save(tmp_path / "model.keras")
    images, labels = random_values(2, 4, 5, 3), [0, 1] if options else None
    for other in (copy, keras.saving.load_model(tmp_path / "model.keras")):
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(other(images, labels), model(images, labels))


@EVERY
def test_mixed_precision_and_unknown_batch_size(name):
    model = small(name, (4, 5, 1), dtype="mixed_bfloat16")
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    signature = [tf.TensorSpec([None, 4, 5, 1])]
    traced = tf.function(lambda x: model(x), input_signature=signature, autograph=False)
    parameters = traced(random_values(3, 4, 5, 1))
    assert parameters.shape == [3, 4, 5, 3] and parameters.dtype == tf.float32
    exact = small(name, (4, 5, 1), dtype="float32")
    exact.set_weights(model.get_weights())
    differences = np.abs(parameters - exact(random_values(3, 4, 5, 1)))
    assert 1e-5 < differences.max() < 0.05


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(nr_resnet=0), "nr_resnet=0"),
        (dict(nr_filters=1.5), "nr_filters=1.5"),
        (dict(num_head_filters=0), "num_head_filters=0"),
        (dict(num_levels=1), "num_levels=1"),
        (dict(nr_filters=2), "nr_filters=2: .*3"),
        (dict(num_head_filters=2), "num_head_filters=2: .*3"),
    ],
)
@EVERY
def test_invalid_argument_is_named(name, arguments, message):
    with pytest.raises(ValueError, match=message.removeprefix("--")):
        small(name, (4, 4, 3), **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        dict(kernel_size=4),
        dict(kernel_size=None),
        dict(spatial_channels=1.5),
        dict(input_embedding=None),
    ],
    ids=str,
)
def test_invalid_argument_of_gated_pixelcnn_is_named(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"^{name}="):
        GatedPixelCNN((4, 4, 1), 1, 4, 4, **arguments)


def test_invalid_conditions_are_named():
    with pytest.raises(ValueError, match="num_classes=2 and spatial_channels=2"):
        GatedPixelCNN((4, 4, 1), 1, 4, 4, num_classes=2, spatial_channels=2)
    with pytest.raises(ValueError, match="labels: .*num_classes=None"):
        PixelCNN((4, 4, 1), 1, nr_filters=4, num_head_filters=4)(tf.zeros([1, 4, 4, 1]), [0])


# Overfitting


@EVERY
def test_overfits_sixteen_images(name):
    """16 different images are at best log2(16) / 64 = 0.06 bits/dim."""
    from train.data.load import load

    levels = load("digits", options=DataOptions(quantize=2)).train.images[:16]
    assert len(np.unique(levels.reshape(16, -1), axis=0)) == 16
    images = levels_to_input(levels, 2)
    keras.utils.set_random_seed(1)
    sizes = dict(nr_resnet=1, nr_filters=24, num_head_filters=24, num_levels=2)
    model = FAMILY[name]((8, 8, 1), **sizes)
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            nats = tf.reduce_mean(model.likelihood.loss(images, model(images)))
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(nats, variables), variables)
        return nats

    for _ in range(80):
        step()
    assert model.likelihood.score(step(), (8, 8, 1)) < 0.2


# The cached sampler of Gated PixelCNN

GATED = {
    "one channel": dict(image_shape=(5, 6, 1)),
    "rgb, conditional": dict(image_shape=(4, 5, 3), num_classes=3),
    "map": dict(image_shape=(5, 4, 1), spatial_channels=2),
    "vector": dict(image_shape=(5, 4, 1), condition="vector"),
    "codes": dict(image_shape=(5, 4, 2), input_embedding=True, num_levels=9),
}


def gated(case, **changes):
    model = lively(small("gated_pixelcnn", **with_encoder(**GATED[case]), **changes))
    labels = [2, 0, 1] if model.num_classes else None
    if model.spatial_channels:
        shape = [3, *model.image_shape[:2], model.spatial_channels]
        labels = tf.cast(random_values(*shape), model.compute_dtype)
    if model.encoder is not None:
        labels = tf.cast(random_values(3, model.num_conditions), model.compute_dtype)
    return model, labels


@pytest.mark.parametrize("case", GATED)
def test_cached_parameters_equal_the_full_pass_at_every_pixel(case):
    model, labels = gated(case)
    levels = np.random.default_rng(1).integers(0, model.num_levels, [3, *model.image_shape])
    images = tf.cast(levels_to_input(levels, model.num_levels), tf.float64)
    by_row = tf.transpose(images, [1, 2, 0, 3])
    sampler = model.make_cached_sampler()
    uniforms = tf.fill([*by_row.shape[:3], model.likelihood.num_uniforms], 0.5)
    conditions = sampler.conditions(model.conditioning(labels))
    state = sampler.start(3)
    fill, parts = tf.function(sampler.fill_rows, autograph=False), []
    for begin, end in [(0, 1), (1, model.image_shape[0])]:  # continued in a second call
        _, parameters, state = fill(
            sampler.normalized_weights(),
            conditions,
            state,
            by_row,
            tf.ones_like(by_row[..., :1]),
            uniforms,
            tf.constant([begin, end]),
            (True, 1.0, True),
        )
        parts.append(parameters[begin:end])
    actual = tf.transpose(tf.concat(parts, axis=0), [2, 0, 1, 3])
    np.testing.assert_allclose(actual, model(images, labels), atol=1e-10, rtol=0)


@pytest.mark.parametrize("case", GATED)
def test_both_samplers_of_gated_pixelcnn_give_the_same_images(case):
    model, labels = gated(case, dtype="float32")
    cached, naive = (
        sampling.sample(model, 3, seed=7, labels=labels, method=method)
        for method in ("cached", "naive")
    )
    np.testing.assert_array_equal(cached, naive)
    assert len(np.unique(cached)) > 1
    mask = np.zeros(model.image_shape[:2])
    mask[:, :2] = 1
    given = levels_to_input(np.ones([3, *model.image_shape], int), model.num_levels)
    cached, naive = (
        sampling.complete(model, given, mask, seed=7, labels=labels, method=method, temperature=0.7)
        for method in ("cached", "naive")
    )
    np.testing.assert_array_equal(cached, naive)
    np.testing.assert_array_equal(cached[:, :, :2], given[:, :, :2])


@pytest.mark.slow
def test_cached_sampler_of_gated_pixelcnn_compiled_with_xla():
    model, labels = gated("rgb, conditional", dtype="float32")
    compiled, plain = (
        sampling.sample(model, 3, seed=7, labels=labels, jit_compile=jit) for jit in (True, False)
    )
    np.testing.assert_array_equal(compiled, plain)


# Precision


def test_codes_do_not_depend_on_the_precision():
    """Keras would cast the images to bfloat16 first, which changes 224 of 512 codes."""
    sizes = dict(nr_resnet=1, nr_filters=4, num_head_filters=4, num_levels=512)
    sizes |= dict(input_embedding=True, dtype="mixed_bfloat16")
    model = GatedPixelCNN((8, 64, 1), **sizes)
    codes = np.arange(512).reshape(1, 8, 64, 1)
    seen = []
    lookup = model.embedding.call
    model.embedding.call = lambda codes: seen.append(codes) or lookup(codes)
    model(levels_to_input(codes, 512))
    np.testing.assert_array_equal(seen[0], codes)
    assert model.input_signature()[0].dtype == "float32"  # of an exported model, too


def test_conditions_do_not_depend_on_the_precision():
    sizes = dict(nr_resnet=1, nr_filters=4, num_head_filters=4, condition="grey")
    model = GatedPixelCNN((6, 5, 3), dtype="mixed_bfloat16", **sizes)
    images = random_values(8, 6, 5, 3)
    given = model.compute_condition(images)
    np.testing.assert_array_equal(model(images), model(images, given))


def test_thousands_of_levels_are_sampled_by_their_probabilities():
    """Sums in float32 end up to 7e-4 off 1: the last levels were drawn too often, or never."""
    num_levels = 65536
    logits = np.where(np.arange(num_levels) < 0.9 * num_levels, 0.0, -60.0).astype(np.float32)
    uniforms = tf.constant([[0.0], [0.5], [0.9999], [1.0 - 1e-5]])
    values = Categorical(1, num_levels).sample(tf.tile(logits[None], [4, 1]), uniforms)
    levels = input_to_levels(values, num_levels).numpy()[:, 0]
    assert levels[0] == 0 and levels[-1] < 0.9 * num_levels
    np.testing.assert_allclose(levels / (0.9 * num_levels), [0.0, 0.5, 0.9999, 1.0], atol=1e-3)


def test_every_layer_has_a_name_of_its_own():
    block = ResidualBlock(4, 1)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(block))
    assert type(again) is ResidualBlock
