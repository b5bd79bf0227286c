"""The network, its initialisation, optimiser and sampler against the official code's numbers.

Bounds: outputs 1e-5 of the largest value, loss 1e-5, gradients 1e-3 in
relative norm for every variable, state after initialisation 1e-4, optimiser 3e-6, samples 1e-4.
"""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from parity_data import DIRECTORY, Case

from pixelcnn_tf import (
    OfficialAdam,
    PixelCNNPlusPlus,
    data_dependent_init,
    discretized_mix_logistic_loss,
    energy_distance,
    official,
    sample_from_discretized_mix_logistic,
    sampling,
)


def assert_close_to_largest(actual, expected, bound):
    assert np.abs(actual - expected).max() <= bound * np.abs(expected).max()


def gradients_by_name(model, loss_of):
    variables = official.named_variables(model)
    with tf.GradientTape() as tape:
        loss = loss_of()
    gradients = tape.gradient(loss, [variable.value for variable in variables.values()])
    return loss.numpy(), dict(zip(variables, gradients, strict=True))


def assert_gradients(actual, expected):
    assert actual.keys() == expected.keys()
    for name, reference in expected.items():
        error = np.linalg.norm(actual[name].numpy() - reference)
        assert error <= 1e-3 * np.linalg.norm(reference), name


@pytest.mark.parametrize("case_id", ["model_uncond", "model_cond", "model_elu", "model_dropout"])
def test_output_loss_and_gradients(case_id):
    case = Case(case_id)
    model = case.model(case.named(case["param"]))
    masks = case.masks() or None
    outputs = {}

    def loss_of():
        outputs["l"] = model(case["x"], case.get("label"), dropout_masks=masks)
        return discretized_mix_logistic_loss(case["x"], outputs["l"])

    loss, gradients = gradients_by_name(model, loss_of)
    assert_close_to_largest(outputs["l"], case["output64"], 1e-5)
    np.testing.assert_allclose(loss, case["loss64"], rtol=1e-5)
    per_image = discretized_mix_logistic_loss(case["x"], outputs["l"], sum_all=False)
    np.testing.assert_allclose(per_image, case["loss_per_image64"], rtol=1e-5)
    reference = case["grad"] if case.get("grad64") is None else case["grad64"]
    assert_gradients(gradients, case.named(reference))


def test_float64_model_is_the_float64_reference():
    case = Case("model_uncond")
    model = case.model(case.named(case["param"]), dtype="float64")
    images = tf.constant(case["x"], tf.float64)
    assert_close_to_largest(model(images), case["output64"], 1e-12)


def test_compiled_equals_eager():
    case = Case("model_cond")
    model = case.model(case.named(case["param"]))
    compiled = tf.function(model, autograph=False)(
        tf.constant(case["x"]), tf.constant(case["label"])
    )
    assert_close_to_largest(compiled, case["output64"], 1e-5)


def test_labels_may_be_vectors():
    case = Case("model_cond")
    model = case.model(case.named(case["param"]))
    np.testing.assert_array_equal(model(case["x"], case["h"]), model(case["x"], case["label"]))


@pytest.mark.parametrize("case_id", ["init_uncond", "init_cond"])
def test_data_dependent_init(case_id):
    case = Case(case_id)
    before = case.named(case["before"])
    model = case.model(before, dropout_p=0.0)
    output = data_dependent_init(model, case["x"], case.get("label"))
    after = case.with_gb(before, case["after_gb64"])
    for name, variable in official.named_variables(model).items():
        np.testing.assert_allclose(variable, after[name], atol=1e-4, rtol=0, err_msg=name)
    assert_close_to_largest(output, case["init_output64"], 1e-5)
    loss = discretized_mix_logistic_loss(case["x"], model(case["x"], case.get("label")))
    np.testing.assert_allclose(loss, case["loss_after64"], rtol=1e-5)


def test_optimizer_in_isolation():
    case = Case("optimizer")
    start = case.with_gb(case.named(case["initial"]), case["step0_gb"])
    model = case.model(start)
    variables = official.named_variables(model)
    scalars = case.scalars
    optimizer = OfficialAdam(
        scalars["lr0"],
        scalars["mom1"],
        scalars["mom2"],
        scalars["eps"],
        lr_decay=scalars["lr_decay"],
    )
    for step in range(scalars["steps"]):
        gradients = case.named(case["grad_steps"][step])
        optimizer.apply([tf.constant(gradients[name]) for name in variables], variables.values())
        expected = case.named(case["param_steps"][step])
        for name, variable in variables.items():
            np.testing.assert_allclose(variable, expected[name], atol=3e-6, rtol=0, err_msg=name)
        np.testing.assert_allclose(
            optimizer.decayed_learning_rate(step + 1), case["lr_steps"][step], rtol=1e-6
        )


def test_learning_rate_after_a_million_steps():
    rate = OfficialAdam(1e-3).decayed_learning_rate(10**6)
    np.testing.assert_allclose(rate, 1e-3 * 0.999995**10**6, rtol=1e-6)


def test_five_training_steps_end_to_end():
    case = Case("optimizer")
    start = case.with_gb(case.named(case["initial"]), case["step0_gb"])
    model = case.model(start)
    variables = official.named_variables(model)
    optimizer = OfficialAdam()
    for step in range(case.scalars["steps"]):
        images = ((case["x_steps_uint8"][step] - 127.5) / 127.5).astype(np.float32)
        loss, gradients = gradients_by_name(
            model, lambda images=images: discretized_mix_logistic_loss(images, model(images))
        )
        np.testing.assert_allclose(loss, case["loss_steps64"][step], rtol=1e-4)
        optimizer.apply([gradients[name] for name in variables], variables.values())
    reference = case["param64_last"]
    actual = np.concatenate([variable.numpy().ravel() for variable in variables.values()])
    assert np.sqrt(np.mean((actual - reference) ** 2)) <= 3e-5  # suggested in the manifest


@pytest.mark.parametrize("tier", ["moderate", "wide", "extreme"])
def test_loss_and_gradient_of_the_mixture(tier):
    case = Case(f"loss_{tier}")
    l = tf.constant(case["l"])  # noqa: E741
    with tf.GradientTape() as tape:
        tape.watch(l)
        loss = discretized_mix_logistic_loss(case["x"], l)
    np.testing.assert_allclose(loss, case["loss64"], rtol=1e-5)
    error = np.linalg.norm(tape.gradient(loss, l) - case["grad_l64"])
    assert error <= 1e-5 * np.linalg.norm(case["grad_l64"])
    per_image = discretized_mix_logistic_loss(case["x"], l, sum_all=False)
    np.testing.assert_allclose(per_image, case["loss_per_image64"], rtol=1e-5)


@pytest.mark.parametrize("tier", ["moderate", "extreme"])
def test_sampler_given_noise(tier):
    case = Case(f"sampler_{tier}")
    noise = case["u_mix"], case["u_logistic"]
    nr_mix = case["u_mix"].shape[-1]
    sample = sample_from_discretized_mix_logistic(case["l"], nr_mix, noise=noise, quantize=False)
    np.testing.assert_allclose(sample, case["sample64"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", ["cached", "naive"])
def test_whole_pixel_loop_given_noise(method):
    case = Case("ar_sampling")
    model = case.model(case.named(case["param"]))
    sample = sampling.sample(
        model,
        len(case["label"]),
        seed=None,
        labels=case["label"],
        quantize=False,
        method=method,
        noise=(case["u_mix"], case["u_logistic"]),
    )
    np.testing.assert_allclose(sample, case["sample64"], atol=1e-4, rtol=0)
    output = model(case["sample"], case["label"])
    assert_close_to_largest(output, case["output_at_sample64"], 1e-5)


def test_energy_distance_and_gradient():
    case = Case("energy_loss")
    samples = tf.constant(case["x_sample"])
    with tf.GradientTape() as tape:
        tape.watch(samples)
        loss = energy_distance(case["x"], samples)
    np.testing.assert_allclose(loss, case["loss64"], rtol=1e-5)
    error = np.linalg.norm(tape.gradient(loss, samples) - case["grad_x_sample64"])
    assert error <= 1e-5 * np.linalg.norm(case["grad_x_sample64"])


def test_energy_model():
    case = Case("energy_model")
    model = case.model(case.named(case["param"]))
    outputs = {}

    def loss_of():
        outputs["samples"] = model(case["x"], noise=case["noise"])
        return energy_distance(case["x"], outputs["samples"])

    loss, gradients = gradients_by_name(model, loss_of)
    assert_close_to_largest(outputs["samples"], case["output64"], 1e-5)
    np.testing.assert_allclose(loss, case["loss64"], rtol=1e-5)
    assert_gradients(gradients, case.named(case["grad"]))


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("full_uncond", {}),
        ("full_cond10", dict(num_classes=10)),
        ("full_energy_uncond", dict(energy_distance=True)),
        ("full_elu_uncond", dict(resnet_nonlinearity="elu")),
        ("small_2_32_10_uncond", dict(nr_resnet=2, nr_filters=32)),
        ("small_2_32_10_cond10", dict(nr_resnet=2, nr_filters=32, num_classes=10)),
        ("tiny_1_8_3_uncond", dict(nr_resnet=1, nr_filters=8, nr_logistic_mix=3)),
        ("tiny_1_8_3_cond10", dict(nr_resnet=1, nr_filters=8, nr_logistic_mix=3, num_classes=10)),
    ],
)
def test_parameter_counts(name, arguments, monkeypatch):
    # Only their number counts here, and 53 million of them take time to draw.
    monkeypatch.setattr(
        keras.initializers.RandomNormal,
        "__call__",
        lambda self, shape, dtype: tf.zeros(shape, dtype),
    )
    expected = json.loads((DIRECTORY / "param_counts.json").read_text())[name]
    model = PixelCNNPlusPlus((32, 32, 3), **arguments)
    assert model.count_params() == expected["total_params"]
    assert len(model.trainable_variables) == expected["n_variables"]
    assert len(official.named_variables(model)) == expected["n_variables"]


def test_names_are_in_the_official_creation_order():
    for case_id in ("model_uncond", "model_cond", "energy_model"):
        case = Case(case_id)
        names = list(official.named_variables(case.model()))
        assert names == [variable["name"] for variable in case.variables]
