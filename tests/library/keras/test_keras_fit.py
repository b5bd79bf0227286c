"""Keras' methods on the models: compile, fit, evaluate, predict, save, export."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import (
    ONE_STAGE,
    config_of,
    random_levels,
    random_values,
    run_of,
)

from pixelcnn_tf import Categorical, GatedPixelCNN, OfficialAdam, PixelCNNPlusPlus
from pixelcnn_tf.callbacks import DataDependentInit, PolyakAveraging, SampleGrid
from pixelcnn_tf.grid import grid, to_uint8
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from pixelcnn_tf.likelihoods.base import Objective, bits_per_dim
from pixelcnn_tf.losses import (
    CategoricalLoss,
    DiscretizedMixLogisticLoss,
    EnergyDistanceLoss,
    loss_of,
)
from pixelcnn_tf.metrics import BitsPerDim
from train.data.dataset import Dataset
from train.data.splits import ArraySplit
from train.training.trainer import Trainer

LEVELS = random_levels(10, 4, 4, 1)
IMAGES = levels_to_input(LEVELS).numpy()
LABELS = np.arange(10, dtype=np.int32) % 3
QUIET = dict(verbose=0, batch_size=4)  # the last batch has 2 of 10


def from_levels():
    return DiscretizedMixLogisticLoss(targets="levels")


def small(**options):
    return PixelCNNPlusPlus((4, 4, 1), **(ONE_STAGE | options))


@pytest.fixture(scope="module")
def trained():
    """A class-conditional model, compiled and trained for 3 steps."""
    keras.utils.set_random_seed(0)
    model = PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE, num_classes=3)
    model.compile(OfficialAdam(), from_levels(), metrics=[BitsPerDim(from_levels())])
    model.fit((IMAGES, LABELS), LEVELS, **QUIET)
    return model


# Losses and the metric.


def test_losses_equal_the_objectives():
    gated = GatedPixelCNN((4, 4, 3), nr_resnet=1, nr_filters=3, num_head_filters=3, num_levels=5)
    levels = random_levels(3, 4, 4, 3, num_levels=5)
    images = levels_to_input(levels, 5)
    sizes = ONE_STAGE | dict(num_levels=5)
    for model, kind in [
        (gated, CategoricalLoss),
        (PixelCNNPlusPlus((4, 4, 3), **sizes), DiscretizedMixLogisticLoss),
        (PixelCNNPlusPlus((4, 4, 3), **sizes, energy_distance=True), EnergyDistanceLoss),
    ]:
        output = model(images)
        each = np.asarray(model.likelihood.loss(images, output))
        loss = loss_of(model.likelihood)
        assert type(loss) is kind and loss.num_levels == 5
        np.testing.assert_allclose(loss(images, output), np.sum(each), rtol=1e-6)
        integers = kind.from_config(loss.get_config() | {"targets": "levels"})
        np.testing.assert_allclose(integers(levels, output), np.sum(each), rtol=1e-6)
        weights = np.array([1.0, 0.0, 2.0], np.float32)
        np.testing.assert_allclose(loss(images, output, weights), weights @ each, rtol=1e-6)
        mean = loss_of(model.likelihood, reduction="sum_over_batch_size")
        np.testing.assert_allclose(mean(images, output), np.mean(each), rtol=1e-6)


def test_arguments_of_losses_are_checked():
    with pytest.raises(ValueError, match="targets='pixels'"):
        DiscretizedMixLogisticLoss(targets="pixels")
    with pytest.raises(ValueError, match="num_levels=1"):
        CategoricalLoss(num_levels=1)
    with pytest.raises(ValueError, match="loss=<EnergyDistanceLoss|loss=.*EnergyDistanceLoss"):
        BitsPerDim(EnergyDistanceLoss())
    with pytest.raises(ValueError, match="likelihood=.*Objective"):
        loss_of(Objective())


def test_bits_per_dim_is_exact_over_the_epoch(trained):
    expected = bits_per_dim(-np.mean(trained.log_prob(IMAGES, LABELS)), (4, 4, 1))
    loss, bits = trained.evaluate((IMAGES, LABELS), LEVELS, **QUIET)
    np.testing.assert_allclose(bits, expected, rtol=1e-6)
    metric = BitsPerDim(CategoricalLoss(num_levels=4))
    logits, levels = random_values(5, 2, 2, 4), random_levels(5, 2, 2, 1, num_levels=4)
    images = levels_to_input(levels, 4)
    nats = np.asarray(Categorical(1, 4).loss(images, logits))
    for begin, end in ((0, 2), (2, 5)):
        weights = np.arange(begin, end)
        metric.update_state(images[begin:end], logits[begin:end], weights)
    weighted = np.arange(5) @ nats / 10
    np.testing.assert_allclose(metric.result(), bits_per_dim(weighted, (2, 2, 1)), rtol=1e-6)
    again = BitsPerDim.from_config(metric.get_config())
    assert isinstance(again.loss, CategoricalLoss) and again.loss.num_levels == 4


# Inputs.


def test_inputs_as_pair_dictionary_and_dataset_are_equal(trained):
    parameters = trained(IMAGES, LABELS)
    for inputs in ((IMAGES, LABELS), [IMAGES, LABELS], {"images": IMAGES, "labels": LABELS}):
        np.testing.assert_array_equal(trained(inputs), parameters)
    whole = trained.predict((IMAGES, LABELS), **QUIET)
    np.testing.assert_allclose(whole, parameters, atol=1e-5)
    batches = tf.data.Dataset.from_tensor_slices(((IMAGES, LABELS), LEVELS)).batch(4)
    scores = trained.evaluate(batches, verbose=0)
    np.testing.assert_allclose(scores, trained.evaluate((IMAGES, LABELS), LEVELS, **QUIET))


def test_energy_distance_in_fit_and_predict():
    model = small(energy_distance=True)
    model.compile(OfficialAdam(), loss_of(model.likelihood), run_eagerly=True)
    assert np.isfinite(model.fit(IMAGES, IMAGES, **QUIET).history["loss"]).all()
    assert model.predict(IMAGES, **QUIET).shape == (10, 10, 4, 4, 1)  # [B, K, H, W, C]


# Saving.


def test_saved_model_continues_training(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = True  # a few batches, sooner than functions of them are traced
    data = (IMAGES, LABELS), LEVELS
    np.testing.assert_allclose(loaded.evaluate(*data, **QUIET), trained.evaluate(*data, **QUIET))
    assert type(loaded.optimizer) is OfficialAdam and int(loaded.optimizer.iterations) == 3
    assert isinstance(loaded.loss, DiscretizedMixLogisticLoss) and not loaded.jit_compile
    loaded.fit(*data, **QUIET)


def test_a_method_as_loss_can_be_saved(tmp_path):
    model = PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE)
    model.compile("adam", model.likelihood.loss)
    mean = model.evaluate(IMAGES, IMAGES, verbose=0)
    np.testing.assert_allclose(mean, -np.mean(model.log_prob(IMAGES)), rtol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.evaluate(IMAGES, IMAGES, verbose=0), mean)


@pytest.mark.slow
def test_export_of_a_model_that_was_never_called(tmp_path):
    for model, inputs in ((small(), [IMAGES]), (small(num_classes=3), [IMAGES, LABELS])):
        path = str(tmp_path / f"{len(inputs)}")
        model.export(path, verbose=False)
        served = tf.saved_model.load(path)
        np.testing.assert_allclose(served.serve(*inputs), model(*inputs), atol=1e-5)


def test_weights_summary_and_clones(trained, tmp_path):
    trained.save_weights(tmp_path / "all.weights.h5")
    clone = keras.models.clone_model(trained)
    again = PixelCNNPlusPlus.from_config(trained.get_config())
    for model in (clone, again):
        model.load_weights(tmp_path / "all.weights.h5")
        np.testing.assert_array_equal(model(IMAGES, LABELS), trained(IMAGES, LABELS))
    lines = []
    trained.summary(print_fn=lines.append)
    assert f"{trained.count_params():,}" in "\n".join(lines)


@pytest.mark.slow
def test_as_a_layer_of_a_functional_model(tmp_path):
    inner = PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE, num_classes=3)
    images, labels = keras.Input((4, 4, 1)), keras.Input((), dtype="int32")
    outer = keras.Model([images, labels], inner(images, labels))
    np.testing.assert_allclose(
        outer.predict([IMAGES, LABELS], verbose=0), inner(IMAGES, LABELS), atol=1e-5
    )
    outer.compile(OfficialAdam(), DiscretizedMixLogisticLoss(), jit_compile=False)
    before = inner(IMAGES, LABELS)
    outer.fit([IMAGES, LABELS], IMAGES, callbacks=[DataDependentInit(LEVELS, LABELS)], **QUIET)
    assert np.abs(inner(IMAGES, LABELS) - before).max() > 0.1
    outer.save(tmp_path / "outer.keras")
    loaded = keras.saving.load_model(tmp_path / "outer.keras")
    inputs = [tf.constant(IMAGES), tf.constant(LABELS)]
    np.testing.assert_allclose(loaded(inputs), outer(inputs), atol=1e-6)


def test_dropout_is_on_in_an_outer_model_that_trains():
    inner = small()
    images = keras.Input((4, 4, 1))
    outer = keras.Model(images, inner(images))
    x = tf.constant(IMAGES)
    np.testing.assert_array_equal(outer(x), inner(x))
    assert np.abs(outer(x, training=True) - inner(x)).max() > 1e-3


# Training.


def fit_like_the_trainer(tmp_path, **options):
    """20 steps of the trainer, and of `fit` on its batches: `(trainer, fitted, averaged)`."""
    levels, labels = random_levels(40, 4, 4, 1), np.arange(40, dtype=np.int32) % 3
    split = ArraySplit(levels, labels)
    dataset = Dataset("noise", (4, 4, 1), 256, 3, split, split)
    values = dict(config="tiny", nr_filters=4, nr_logistic_mix=2, init_batch_size=20)
    config = config_of(tmp_path, values, batch_size=8, class_conditional=True, max_steps=20)
    trainer = Trainer(run_of(config), dataset, tf.distribute.OneDeviceStrategy("CPU:0"))
    model = PixelCNNPlusPlus.from_config(trainer.model.get_config())
    averaged = PixelCNNPlusPlus.from_config(trainer.model.get_config())
    model.set_weights(trainer.model.get_weights())
    first = split.first_shuffled(20, config.seed)
    trainer.initialize()
    epochs = [split.epoch(number, 8, config.seed) for number in range(4)]
    batches = epochs[0].concatenate(epochs[1]).concatenate(epochs[2]).concatenate(epochs[3])
    trainer.train_steps(iter(batches), 20)

    def named(batch):
        images = levels_to_input(batch["images"])
        inputs = {"images": images, "labels": batch["labels"], "seed": batch["seeds"]}
        return inputs, batch["images"]

    model.compile(OfficialAdam(config.learning_rate, lr_decay=config.lr_decay), from_levels())
    averaging = PolyakAveraging(averaged, config.polyak_decay)
    initialisation = DataDependentInit(first["images"], first["labels"], config.seed)
    model.fit(batches.map(named), verbose=0, shuffle=False, callbacks=[averaging, initialisation])
    return trainer, model, averaged


@pytest.mark.slow
def test_fit_follows_the_trainer(tmp_path):
    trainer, model, averaged = fit_like_the_trainer(tmp_path)
    assert int(model.optimizer.iterations) == 20
    for mine, theirs in ((model, trainer.model), (averaged, trainer.averaged_model)):
        for a, b in zip(mine.get_weights(), theirs.get_weights(), strict=True):
            assert np.abs(a - b).max() <= 1e-5 * max(1.0, np.abs(b).max())


@pytest.mark.slow
def test_two_replicas_equal_one():
    """The shown loss, too, is that of the global batch; the metric counts every image once."""
    results = []
    weights = small(num_classes=3).get_weights()
    for strategy in (
        tf.distribute.OneDeviceStrategy("CPU:0"),
        # No collectives, whose numbers would clash with those of another strategy in the process.
        tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()),
    ):
        with strategy.scope():
            model, averaged = (small(dropout_p=0.0, num_classes=3) for _ in range(2))
            model.set_weights(weights)
            model.compile(OfficialAdam(), from_levels(), metrics=[BitsPerDim(from_levels())])
        images = tf.data.Dataset.from_tensor_slices(((IMAGES, LABELS), LEVELS))
        batches = images.batch(4, drop_remainder=True).repeat(2)
        averaging = PolyakAveraging(averaged, 0.9)
        history = model.fit(batches, verbose=0, shuffle=False, callbacks=[averaging]).history
        # Adam's steps do not tell a sum of the replicas' gradients from their mean; moments do.
        moments = [v.numpy() for v in model.optimizer.first_moments]
        results.append((history, model.get_weights(), averaged.get_weights(), moments))
    one, two = results
    for name in ("loss", "bits_per_dim"):
        np.testing.assert_allclose(two[0][name], one[0][name], rtol=1e-5)
    for mine, theirs in zip(one[1] + one[2], two[1] + two[2], strict=True):
        assert np.abs(mine - theirs).max() <= 1e-4
    for mine, theirs in zip(one[3], two[3], strict=True):
        assert np.abs(mine - theirs).max() <= 1e-3 * np.abs(mine).max()


@pytest.mark.slow
def test_mixed_precision():
    model = small(dtype="mixed_bfloat16")
    model.compile(OfficialAdam(), from_levels(), metrics=[BitsPerDim(from_levels())])
    history = model.fit(IMAGES, LEVELS, **QUIET, callbacks=[DataDependentInit(LEVELS)]).history
    assert np.isfinite(history["loss"]).all()
    assert {v.dtype for v in model.trainable_variables} == {"float32"}


def test_average_of_keras():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile(OfficialAdam(use_ema=True, ema_momentum=0.5), "mse")
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(model.get_weights())

    x = np.random.default_rng(0).normal(size=[10, 2])
    model.fit(x, x, callbacks=[Watch()], **QUIET)
    expected = seen[0]  # Keras begins with the weights after the first step
    for later in seen[1:]:
        expected = [0.5 * e + 0.5 * w for e, w in zip(expected, later, strict=True)]
    for mine, theirs in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


# Callbacks.


def test_initialisation_happens_once():
    model, other = small(), small()
    model.compile(OfficialAdam(), from_levels())
    other.set_weights(model.get_weights())
    other.initialize(IMAGES, seed=0)
    callback, another = DataDependentInit(LEVELS), DataDependentInit(LEVELS[:3])
    callback.set_model(model)
    another.set_model(model)
    callback.on_train_begin()
    callback.on_train_begin()
    model.optimizer.iterations.assign(1)
    another.on_train_begin()
    for mine, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_averaging_rejects_several_steps_per_execution():
    model = small()
    model.compile(OfficialAdam(), from_levels(), steps_per_execution=2)
    with pytest.raises(ValueError, match="steps_per_execution=2"):
        model.fit(IMAGES, LEVELS, callbacks=[PolyakAveraging(small())], **QUIET)


def test_sample_grid(trained, tmp_path):
    callback = SampleGrid(
        tmp_path / "a" / "b", tmp_path / "logs", num_samples=3, every=2, labels=[0, 1, 2]
    )
    callback.set_model(trained)
    callback.on_epoch_end(0)
    callback.on_epoch_end(1)
    (path,) = (tmp_path / "a" / "b").iterdir()
    assert path.name == "samples_0002.png"
    picture = tf.io.decode_png(path.read_bytes())
    sampled = trained.sample(3, 0, [0, 1, 2])
    expected = grid(to_uint8(input_to_levels(sampled, trained.num_levels).numpy(), 256))
    np.testing.assert_array_equal(picture, expected)
    other = small(num_classes=3)
    averaged = SampleGrid(tmp_path, num_samples=3, labels=[0, 1, 2], seed=5, model=other)
    averaged.set_model(trained)
    sampled = other.sample(3, 5, [0, 1, 2])
    expected = grid(to_uint8(input_to_levels(sampled, other.num_levels).numpy(), 256))
    np.testing.assert_array_equal(averaged.picture(), expected)
    (events,) = (tmp_path / "logs").iterdir()
    assert b"samples" in events.read_bytes()
    with pytest.raises(ValueError, match="folder=None, log_dir=None"):
        SampleGrid()
    with pytest.raises(ValueError, match="every=0"):
        SampleGrid("x", every=0)


@pytest.mark.parametrize("warmup", [False, True])
def test_averaging_resumes(warmup):
    """As after loading both models; without `resume` it starts again, with a warning."""
    model, averaged = small(), small()
    model.compile(OfficialAdam(0.1), from_levels())
    model.fit(IMAGES, LEVELS, **QUIET, callbacks=[PolyakAveraging(averaged, 0.9, warmup=warmup)])
    before = averaged.get_weights()
    with pytest.warns(UserWarning, match="starts from the weights after . steps; resume=True"):
        model.fit(IMAGES, LEVELS, **QUIET, callbacks=[PolyakAveraging(small(), 0.9)])
    steps = int(model.optimizer.iterations)
    averaging = PolyakAveraging(averaged, 0.999, resume=True, warmup=warmup)
    model.fit(IMAGES[:4], LEVELS[:4], batch_size=4, verbose=0, callbacks=[averaging])
    assert int(model.optimizer.iterations) == steps + 1
    decay = (1 + steps) / (10 + steps) if warmup else 0.999
    for old, new, weights in zip(before, averaged.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(new, decay * old + (1 - decay) * weights, atol=1e-6)
