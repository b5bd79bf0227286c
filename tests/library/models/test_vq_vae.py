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
from pixelcnn_tf.random import batch_places

K, D = 6, 3
SIZES = dict(nr_resnet=1, nr_filters=6, nr_embeddings=K, embedding_dim=D)


def quantizer(**changes):
    layer = VectorQuantizer(**dict(nr_embeddings=K, embedding_dim=D, dtype="float64") | changes)
    layer.embeddings.assign(np.random.default_rng(1).normal(size=[K, D]))
    return layer


def vectors(seed=2, batch=4):
    return np.random.default_rng(seed).normal(size=[batch, 2, 3, D])


def nearest(z, embeddings):
    """Codes by the distances of all pairs."""
    return np.argmin(((z[..., None, :] - embeddings) ** 2).sum(axis=-1), axis=-1)


def learn(layer, z, seed=0, parts=1):
    """A step of `learn` on a batch, or on its parts as those of replicas."""
    seeds = batch_places(seed, len(z))
    sums = {}
    for part, places in zip(np.split(z, parts), tf.split(seeds, parts), strict=True):
        for name, value in layer.statistics(layer(tf.constant(part)), places).items():
            sums[name] = sums.get(name, 0) + value
    layer.learn(sums)


@pytest.mark.parametrize("codebook", ["loss", "ema"])
def test_losses_and_gradients_against_numpy(codebook):
    layer, z = quantizer(codebook=codebook), vectors()
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
    np.testing.assert_allclose(result.codebook_loss, errors * (codebook == "loss"), rtol=1e-12)
    size = np.prod(z.shape[1:])
    # Straight through, plus the commitment.
    np.testing.assert_allclose(of_z, w + 0.25 * 2 * difference / size, rtol=1e-10)
    if codebook == "ema":
        assert of_e is None and layer.trainable_variables == []
        return
    expected = np.zeros([K, D])
    np.add.at(expected, codes, -2 * difference / size)
    np.testing.assert_allclose(tf.convert_to_tensor(of_e), expected, rtol=1e-10)


@pytest.mark.parametrize("parts", [1, 2])
def test_moving_averages_against_numpy(parts):
    layer = quantizer(codebook="ema", ema_decay=0.6)
    e = layer.embeddings.numpy()
    e[-1] = 100.0  # a dead code
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
        learn(layer, z, step, parts)
        np.testing.assert_allclose(layer.embeddings, e, rtol=1e-9)
    np.testing.assert_allclose(layer.embeddings[-1], 100.0)  # it stays, however small its count


@pytest.mark.parametrize("codebook", ["loss", "ema"])
def test_dead_codes_are_restarted_from_the_batch(codebook):
    layer = quantizer(codebook=codebook, restart_codes=3)
    e = layer.embeddings.numpy()
    e[[1, 4]] = [[100.0] * D, [200.0] * D]
    layer.embeddings.assign(e)
    if codebook == "ema":
        layer.sums.assign(e)
    for step in range(3):
        np.testing.assert_allclose(layer.embeddings.numpy()[[1, 4], 0], [100.0, 200.0])
        z = vectors(seed=step)
        learn(layer, z, step)
    for vector in layer.embeddings.numpy()[[1, 4]]:
        assert (np.abs(z.reshape(-1, D) - vector).max(axis=1) < 1e-12).any()
    assert layer.idle.numpy()[[1, 4]].tolist() == [0, 0]


def test_the_codebook_starts_on_vectors_of_the_batch():
    layer, z = quantizer(codebook="ema"), vectors()
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
    model = VQVAE((8, 8, 1), **SIZES, codebook="ema", restart_codes=5, commitment=0.5)
    model.initialize(random_values(3, 8, 8, 1))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    images = random_values(2, 8, 8, 1, seed=3)
    np.testing.assert_array_equal(loaded(images).images, model(images).images)
    assert len(model.state) == 5  # the variance; embeddings, counts, sums, idle


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(dtype):
    """Codebook, images and loss are in float32; what lies between is near that of float32."""
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
        ({"nr_embeddings": 1}, "nr_embeddings=1: must be an integer of at least 2"),
        ({"nr_embeddings": 65537}, "nr_embeddings=65537: must be at most 65536"),
        ({"embedding_dim": 0}, "embedding_dim=0"),
        ({"codebook": "mean"}, "codebook='mean': must be one of loss, ema"),
        ({"ema_decay": 1.0}, "ema_decay=1.0"),
        ({"commitment": -1}, "commitment=-1"),
        ({"restart_codes": -1}, "restart_codes=-1"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message.removeprefix("--")):
        VQVAE((8, 8, 1), **SIZES | arguments)


def test_bad_codes_and_calls_are_named():
    model = VQVAE((8, 8, 1), **SIZES)
    with pytest.raises(ValueError, match=r"codes of shape \(1, 3, 2\): this model takes \[B, 2, 2"):
        model.decode(np.zeros([1, 3, 2], int))
    with pytest.raises(ValueError, match="codes of dtype float32: must be integers; .*input_to_le"):
        model.decode(np.full([1, 2, 2], -1.0, np.float32))
    for wrong in (-1, model.quantizer.nr_embeddings):
        with pytest.raises(ValueError, match=f"codes: {wrong} is not in 0 ... "):
            model.decode(np.full([1, 2, 2], wrong))
    with pytest.raises(ValueError, match="vq_vae has 6 codes, model 5 levels"):
        prior = PixelCNN((2, 2, 1), nr_resnet=1, nr_filters=2, nr_output_filters=2, num_levels=5)
        signatures(prior, model)
    with pytest.raises(ValueError, match="labels given"):
        model(random_values(1, 8, 8, 1), [1])
    with pytest.raises(ValueError, match="a VQ-VAE has no likelihood"):
        model.likelihood.log_prob(None, None)
    with pytest.raises(ValueError, match="not trained by Keras' fit"):
        model.compile()
