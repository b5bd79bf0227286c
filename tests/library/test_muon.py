"""Muon: against NumPy's SVD, on the models' own kernels, and in Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import SMALLEST

from pixelcnn_tf import VQVAE, GatedPixelCNN, Muon, OfficialAdam, PixelCNN, PixelCNNPlusPlus
from pixelcnn_tf.layers.hidden_kernels import hidden_kernel
from pixelcnn_tf.optimization.muon import muon_direction, orthogonalize


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (16, 16), (3, 24, 8)])
def test_orthogonalize_agrees_with_svd(shape):
    matrices = random(shape)
    u, _, v = np.linalg.svd(matrices, full_matrices=False)
    found = orthogonalize(tf.constant(matrices)).numpy()
    values = np.linalg.svd(found, compute_uv=False)
    assert values.min() > 0.6 and values.max() < 1.3
    # The same singular vectors: in their basis only the diagonal is left.
    rotated = np.swapaxes(u, -1, -2) @ found @ np.swapaxes(v, -1, -2)
    off_diagonal = rotated - rotated * np.eye(rotated.shape[-1])
    assert np.abs(off_diagonal).max() < 1e-3


def test_direction_of_weight_normalised_kernels():
    """Every filter turns by the same angle, whatever its length; also in transposed layers."""
    model = PixelCNNPlusPlus((8, 8, 3), nr_resnet=1, nr_filters=6)
    layers = [model.u_up[0][0].conv_gate, model.u_double[0], model.ul_up[0][0].nin]
    for layer in layers:
        kernel = hidden_kernel(layer.V)
        axes = list(layer.norm_axes)
        v = layer.V.numpy() * np.linspace(0.1, 5.0, layer.filters).reshape(layer.g_shape)
        direction = muon_direction(random(v.shape), tf.constant(v, tf.float32), kernel).numpy()
        angles = np.sqrt((direction**2).sum(tuple(axes)) / (v**2).sum(tuple(axes)))
        wide = max(1.0, layer.filters / kernel.fan_in) ** 0.5
        assert kernel.fan_in == np.prod(v.shape) // layer.filters
        assert 0.5 < angles.min() / wide and angles.max() / wide < 1.4, layer.name


def test_direction_of_masked_kernels():
    """Hidden weights stay where they are; the others have entries of root mean square 0.2."""
    layer = PixelCNN((8, 8, 1), nr_resnet=1, nr_filters=16).blocks[0].conv
    kernel = hidden_kernel(layer.kernel)
    gradient = random(layer.kernel.shape) * layer.mask
    direction = muon_direction(tf.constant(gradient), layer.kernel.value, kernel).numpy()
    assert kernel.fan_in == 5 * 16 and not direction[layer.mask == 0].any()
    rms = np.sqrt((direction[layer.mask != 0] ** 2).mean())
    assert 0.14 < rms < 0.26


def test_first_and_last_layers_have_adam():
    """As many kernels as the network has hidden layers; none of the input or the head."""
    model = PixelCNNPlusPlus((8, 8, 3), nr_resnet=1, nr_filters=4, nr_logistic_mix=2)
    marked = {v.path for v in model.trainable_variables if hidden_kernel(v)}
    blocks = [
        block
        for stage in (*model.u_up, *model.ul_up, *model.u_down, *model.ul_down)
        for block in stage
    ]
    expected = {b.conv_in.V.path for b in blocks} | {b.conv_gate.V.path for b in blocks}
    expected |= {b.nin.V.path for b in blocks if b.nin is not None}
    between = (*model.u_halve, *model.ul_halve, *model.u_double, *model.ul_double)
    assert marked == expected | {layer.V.path for layer in between}

    network = PixelCNN((8, 8, 1), nr_resnet=2, nr_filters=4, num_head_filters=8)
    assert sum(hidden_kernel(v) is not None for v in network.trainable_variables) == 2 * 3
    gated = GatedPixelCNN((8, 8, 1), nr_resnet=2, nr_filters=4, num_head_filters=8)
    marks = [
        hidden_kernel(v) is not None
        for v in gated.trainable_variables
        if v.path.endswith("horizontal_conv/kernel")
    ]
    assert marks == [False, True, True]


def test_two_steps_follow_the_formula():
    """Momentum, decay and rate, against NumPy; the other weights are the official Adam's."""
    model = PixelCNNPlusPlus((8, 8, 1), **SMALLEST)
    other = PixelCNNPlusPlus((8, 8, 1), **SMALLEST)
    other.set_weights(model.get_weights())
    muon, adam = Muon(0.002, 0.03, momentum=0.9, lr_decay=0.5), OfficialAdam(0.002, lr_decay=0.5)
    variables = model.trainable_variables
    momenta = [np.zeros(v.shape, np.float32) for v in variables]
    for step in (1, 2):
        gradients = [random(v.shape, seed) for seed, v in enumerate(variables, start=9 * step)]
        before = [v.numpy() for v in variables]
        muon.apply([tf.constant(g) for g in gradients], variables)
        adam.apply([tf.constant(g) for g in gradients], other.trainable_variables)
        for n, v in enumerate(variables):
            if hidden_kernel(v) is None:
                np.testing.assert_array_equal(v.numpy(), other.trainable_variables[n].numpy())
                continue
            momenta[n] = 0.9 * momenta[n] + gradients[n]
            ahead = tf.constant(gradients[n] + 0.9 * momenta[n])
            direction = muon_direction(ahead, tf.constant(before[n]), hidden_kernel(v)).numpy()
            np.testing.assert_allclose(
                v.numpy(), before[n] - 0.03 * 0.5**step * direction, atol=1e-6, err_msg=v.path
            )
    slots = [v for v in muon.variables if "moment" in v.path]
    hidden = sum(hidden_kernel(v) is not None for v in variables)
    assert len(slots) == 2 * len(variables) - hidden


def test_optimizer_is_saved_with_a_keras_model(tmp_path):
    """compile, fit, save, load_model: configuration and momenta are there."""
    model = PixelCNNPlusPlus((8, 8, 1), **SMALLEST)
    model.compile(Muon(0.001, 0.02, lr_decay=0.99), loss="mse")
    images = tf.random.stateless_uniform([4, 8, 8, 1], [1, 2], -1.0, 1.0)
    model.fit(images, tf.zeros([4, 8, 8, 6]), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert loaded.optimizer.muon_learning_rate == 0.02
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for mine, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())


def test_models_without_hidden_kernels_are_rejected():
    model = VQVAE((8, 8, 1), nr_filters=4, nr_resnet=1, num_embeddings=4, embedding_dim=2)
    with pytest.raises(ValueError, match="optimizer=Muon: none of"):
        Muon().build(model.trainable_variables)
