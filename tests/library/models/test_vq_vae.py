"""The codebook and the network of the VQ-VAE, against the paper's equations in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import random_levels, random_values

from pixelcnn_tf import VQVAE, PixelCNN
from pixelcnn_tf.export import signatures
from pixelcnn_tf.layers.vector_quantizer import VectorQuantizer
from pixelcnn_tf.levels import levels_to_input
from pixelcnn_tf.likelihoods.base import Likelihood
from pixelcnn_tf.random import batch_places

K, D = 6, 3
EMA = dict(codebook_update="ema", reset_unused_after=5, commitment_cost=0.5)
SIZES = dict(nr_resnet=1, nr_filters=6, num_embeddings=K, embedding_dim=D)


def quantizer(**changes):
    layer = VectorQuantizer(**dict(num_embeddings=K, embedding_dim=D, dtype="float64") | changes)
    layer.embeddings.assign(np.random.default_rng(1).normal(size=[K, D]))
    return layer


def vectors(seed=2, batch=4):
    return np.random.default_rng(seed).normal(size=[batch, 2, 3, D])


def nearest(z, embeddings):
    """Codes by the distances of all pairs."""
    return np.argmin(((z[..., None, :] - embeddings) ** 2).sum(axis=-1), axis=-1)


def update(layer, z, seed=0, parts=1):
    """A step of `update_ema` on a batch, or on its parts as on replicas."""
    seeds = batch_places(seed, len(z))
    sums = {}
    for part, places in zip(np.split(z, parts), tf.split(seeds, parts), strict=True):
        for name, value in layer.ema_statistics(layer(tf.constant(part)), places).items():
            sums[name] = sums.get(name, 0) + value
    layer.update_ema(sums)


@pytest.mark.parametrize("codebook_update", ["gradient", "ema"])
def test_losses_and_gradients_against_numpy(codebook_update):
    layer, z = quantizer(codebook_update=codebook_update), vectors()
    e, w = layer.embeddings.numpy(), np.random.default_rng(3).normal(size=z.shape)
    variable = tf.Variable(z)
    with tf.GradientTape() as tape:
        result = layer(variable)
        loss = tf.reduce_sum(result.quantized * w) + tf.reduce_sum(result.codebook_loss)
        loss += 0.25 * tf.reduce_sum(result.commitment_loss)
    of_z, of_e = tape.gradient(loss, [variable, layer.embeddings.value])

    codes = nearest(z, e)
    difference = z - e[codes]  # [B, h, w, D]
    errors = (difference**2).mean(axis=(1, 2, 3))
    np.testing.assert_array_equal(result.codes, codes)
    np.testing.assert_allclose(result.quantized, e[codes], rtol=1e-12)
    np.testing.assert_allclose(result.commitment_loss, errors, rtol=1e-12)
    np.testing.assert_allclose(
        result.codebook_loss, errors * (codebook_update == "gradient"), rtol=1e-12
    )
    size = np.prod(z.shape[1:])
    # Straight-through, plus the commitment loss.
    np.testing.assert_allclose(of_z, w + 0.25 * 2 * difference / size, rtol=1e-10)
    if codebook_update == "ema":
        assert of_e is None and layer.trainable_variables == []
        return
    expected = np.zeros([K, D])
    np.add.at(expected, codes, -2 * difference / size)
    np.testing.assert_allclose(tf.convert_to_tensor(of_e), expected, rtol=1e-10)


@pytest.mark.parametrize("parts", [1, 2])
def test_moving_averages_against_numpy(parts):
    layer = quantizer(codebook_update="ema", ema_decay=0.6)
    e = layer.embeddings.numpy()
    e[-1] = 100.0  # an unused code
    layer.embeddings.assign(e)
    layer.sums.assign(e)
    counts, sums = np.ones(K), e.copy()
    for step in range(60):
        z = vectors(seed=step)
        codes = nearest(z, e).reshape(-1)
        of_code = [z.reshape(-1, D)[codes == k] for k in range(K)]
        counts = 0.6 * counts + 0.4 * np.array([len(each) for each in of_code])
        sums = 0.6 * sums + 0.4 * np.array([each.sum(axis=0) for each in of_code])
        e = sums / counts[:, None]
        update(layer, z, step, parts)
        np.testing.assert_allclose(layer.embeddings, e, rtol=1e-9)
    np.testing.assert_allclose(layer.embeddings[-1], 100.0)  # unchanged, however small its count


@pytest.mark.parametrize("codebook_update", ["gradient", "ema"])
def test_unused_codes_are_reset_from_the_batch(codebook_update):
    layer = quantizer(codebook_update=codebook_update, reset_unused_after=3)
    e = layer.embeddings.numpy()
    e[[1, 4]] = [[100.0] * D, [200.0] * D]
    layer.embeddings.assign(e)
    if codebook_update == "ema":
        layer.sums.assign(e)
    for step in range(3):
        np.testing.assert_allclose(layer.embeddings.numpy()[[1, 4], 0], [100.0, 200.0])
        z = vectors(seed=step)
        update(layer, z, step)
    for vector in layer.embeddings.numpy()[[1, 4]]:
        assert (np.abs(z.reshape(-1, D) - vector).max(axis=1) < 1e-12).any()
    assert layer.idle.numpy()[[1, 4]].tolist() == [0, 0]


def test_codebook_starts_from_vectors_of_the_batch():
    layer, z = quantizer(codebook_update="ema"), vectors()
    layer.start(z, 1)
    e = layer.embeddings.numpy()
    flat = z.reshape(-1, D)
    assert all((flat == vector).all(axis=1).any() for vector in e)
    assert len(np.unique(e, axis=0)) == K
    layer.start(np.repeat(flat[:2], 3, axis=0).reshape(1, 2, 3, D), 1)  # 2 vectors for 6 codes
    assert len(np.unique(layer.embeddings, axis=0)) == K


@pytest.mark.parametrize("image_shape, codes", [((8, 12, 3), (2, 3)), ((7, 9, 1), (2, 3))])
def test_images_of_any_size(image_shape, codes):
    model = VQVAE(image_shape, **SIZES)
    images = random_values(2, *image_shape)
    found = model.encode(images)
    assert found.shape == (2, *codes) and model.codes_shape == (*codes, 1)
    result = model(images)
    np.testing.assert_array_equal(result.latents.codes, found)
    decoded = model.decode(found)
    assert decoded.shape == images.shape
    np.testing.assert_allclose(decoded, tf.clip_by_value(result.images, -1, 1), atol=1e-5)
    assert model.at_size(12, 5).encode(random_values(1, 12, 5, image_shape[-1])).shape == (1, 3, 2)


def test_scores_against_numpy():
    model = VQVAE((8, 8, 1), **SIZES, num_levels=5)
    levels = random_levels(6, 8, 8, 1, num_levels=5)
    images = levels_to_input(levels, 5)
    model.initialize(images, seed=1)
    result = model(images)
    measures = model.likelihood.measures(images, result)
    scores = model.likelihood.scores(
        {name: np.mean(value, axis=0) for name, value in measures.items()}, model.image_shape
    )
    found = model.decode_to_levels(result.latents.codes).numpy()
    mse = np.mean(((found - levels.astype(int)) / 4) ** 2)
    frequencies = np.bincount(result.latents.codes.numpy().reshape(-1), minlength=K) / 24
    used = frequencies[frequencies > 0]
    assert scores["mse"] == pytest.approx(mse, rel=1e-5)
    assert scores["psnr"] == pytest.approx(-10 * np.log10(mse), rel=1e-5)
    assert scores["perplexity"] == pytest.approx(np.exp(-(used * np.log(used)).sum()), rel=1e-5)
    assert scores["dead_codes"] == K - len(used)
    variance = images.numpy().var()
    error = ((images - result.images).numpy() ** 2).mean(axis=(1, 2, 3))
    latents = (1 + 0.25) * result.latents.commitment_loss.numpy()
    np.testing.assert_allclose(measures["loss"], 64 * (error / variance + latents), rtol=1e-4)


def test_config_round_trip_and_keras_file(tmp_path):
    model = VQVAE((8, 8, 1), **SIZES, **EMA)
    model.initialize(random_values(3, 8, 8, 1))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    images = random_values(2, 8, 8, 1, seed=3)
    np.testing.assert_array_equal(loaded(images).images, model(images).images)
    assert len(model.non_gradient_variables) == 5  # the variance; embeddings, counts, sums, idle


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(dtype):
    """Codebook, images and loss are in float32; the layers between are close to float32."""
    model, exact = (VQVAE((8, 8, 1), **SIZES, dtype=name) for name in (dtype, "float32"))
    for variable, source in zip(model.variables, exact.variables, strict=True):
        variable.assign(source)
    images = random_values(3, 8, 8, 1)
    result = model(images)
    assert (
        result.images.dtype == result.latents.vectors.dtype == result.variance.dtype == tf.float32
    )
    close = dict(atol=0.1 * np.abs(exact(images).images).max())
    np.testing.assert_allclose(model.decode(exact.encode(images)), exact(images).images, **close)
    assert np.isfinite(model.likelihood.loss(images, result)).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_embeddings": 1}, "num_embeddings=1: .*2"),
        ({"num_embeddings": 65537}, "num_embeddings=65537: .*65536"),
        ({"embedding_dim": 0}, "embedding_dim=0"),
        ({"codebook_update": "loss"}, "codebook_update='loss': .*gradient, ema"),
        ({"ema_decay": 1.0}, "ema_decay=1.0"),
        ({"commitment_cost": -1}, "commitment_cost=-1"),
        ({"reset_unused_after": -1}, "reset_unused_after=-1"),
    ],
)
def test_invalid_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message.removeprefix("--")):
        VQVAE((8, 8, 1), **SIZES | arguments)


def test_invalid_codes_and_calls_are_rejected():
    model = VQVAE((8, 8, 1), **SIZES)
    with pytest.raises(ValueError, match=r"codes of shape \(1, 3, 2\): must be \[B, 2, 2"):
        model.decode(np.zeros([1, 3, 2], int))
    with pytest.raises(ValueError, match="codes of dtype float32"):
        model.decode(np.full([1, 2, 2], -1.0, np.float32))
    for wrong in (-1, model.quantizer.num_embeddings):
        with pytest.raises(ValueError, match=rf"codes: .*0 \.\.\. 5, got {wrong}"):
            model.decode(np.full([1, 2, 2], wrong))
    with pytest.raises(ValueError, match="vq_vae: .*num_embeddings=5.* got 6"):
        prior = PixelCNN((2, 2, 1), nr_resnet=1, nr_filters=2, num_head_filters=2, num_levels=5)
        signatures(prior, model)
    with pytest.raises(ValueError, match="labels: must be None"):
        model(random_values(1, 8, 8, 1), [1])
    assert not isinstance(model.likelihood, Likelihood)
    with pytest.raises(ValueError, match="VQVAE: Keras' fit is not supported"):
        model.compile()
