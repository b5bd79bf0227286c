"""Strategies, precision and memory: the same numbers, however they are computed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small import (
    ONE_STAGE,
    ONE_STAGE_RUN,
    SMALLEST,
    config_of,
    random_values,
    run_of,
    write_config,
)

from pixelcnn_tf import PixelCNNPlusPlus, data_dependent_init
from pixelcnn_tf.levels import levels_to_input
from pixelcnn_tf.optimization.loss_scale import GROWTH_STEPS, LossScale
from train.config.models import make_model
from train.config.presets import from_values
from train.data.description import DataDescription
from train.data.load import load
from train.devices import Workers, make_strategy, read_cluster
from train.errors import UserError
from train.run import Run, config_json
from train.sampling.samples import write_samples
from train.training.trainer import Trainer, dtype_policy

REPLICA_RUN = str(Path(__file__).parents[2] / "replica_run.py")


def trainer_of(tmp_path, **changes):
    config = config_of(tmp_path, ONE_STAGE_RUN, **(dict(batch_size=20) | changes))
    return Trainer(run_of(config), load("digits"), tf.distribute.get_strategy())


class Plain:
    """A training of ten steps as it is by default: its trainer, what the weights were at its
    beginning, and its losses."""

    def __init__(self, tmp_path):
        self.trainer = trainer_of(tmp_path)
        self.trainer.initialize()
        models = self.trainer.model, self.trainer.averaged_model
        weights = [v for model in models for v in model.trainable_variables]
        self.variables = [*weights, *self.trainer.optimizer.variables]  # the model's come first
        self.initial = [v.numpy() for v in self.variables]
        self.losses = losses_of(self.trainer, [10])

    def start_again(self):
        for variable, value in zip(self.variables, self.initial, strict=True):
            variable.assign(value)

    def from_the_beginning(self, counts):
        """Losses and variables after as many steps, taken in calls of so many."""
        self.start_again()
        return [losses_of(self.trainer, counts), *(v.numpy() for v in self.variables)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return Plain(tmp_path_factory.mktemp("plain"))


def losses_of(trainer, counts):
    batches = iter(trainer.dataset.train.epoch(0, 20, seed=1))
    return np.concatenate([trainer.train_steps(batches, count) for count in counts])


def loss_and_gradients(model, images, labels=None):
    @tf.function(autograph=False)
    def compute():
        with tf.GradientTape() as tape:
            parameters = model(images, labels, training=True, seed=3)
            loss = tf.reduce_sum(model.likelihood.loss(images, parameters))
        return loss, tape.gradient(loss, model.trainable_variables)

    return compute


@pytest.mark.parametrize("energy_distance", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_remat_gives_the_same_gradients(energy_distance):
    num_classes = None if energy_distance else 3
    model = PixelCNNPlusPlus(
        (8, 8, 3), num_classes=num_classes, energy_distance=energy_distance, **ONE_STAGE
    )
    images = random_values(3, 8, 8, 3)
    labels = None if energy_distance else tf.constant([0, 2, 1])
    results, convolutions = [], []
    for model.remat in (False, True):
        compute = loss_and_gradients(model, images, labels)
        results.append(compute())
        graph = compute.get_concrete_function().graph.as_graph_def()
        ops = [node.op for node in graph.node]
        # One normalisation a layer, and so one root, however often the convolution is run.
        layers = sum(v.name == "g" for v in model.trainable_variables)
        assert ops.count("Rsqrt") == layers
        convolutions.append(ops.count("BiasAdd"))  # one after each, in the forward pass alone
    assert convolutions[1] > 1.5 * convolutions[0]
    (loss, gradients), (other_loss, other_gradients) = results
    np.testing.assert_allclose(loss, other_loss, rtol=1e-6)
    for mine, theirs in zip(gradients, other_gradients, strict=True):
        assert np.abs(mine - theirs).max() <= 1e-5 * np.abs(mine).max()


def test_remat_runs_under_two_replicas(plain):
    """The gradients reach the variables of every replica."""
    config, dataset = plain.trainer.config, plain.trainer.dataset
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    trainer = Trainer(run_of(config.replace(batch_size=10, remat=True)), dataset, mirrored)
    trainer.initialize()

    @tf.function(autograph=False)
    def compute(batch):
        loss, (gradients, _) = mirrored.run(trainer.gradients, args=(batch, 1.0))
        return [mirrored.reduce("SUM", x, axis=None) for x in (loss, *gradients)]

    batches = dataset.train.epoch(0, 20, seed=1)
    batch = next(iter(mirrored.experimental_distribute_dataset(batches)))
    plain.start_again()
    loss, (gradients, _) = plain.trainer.gradients(next(iter(batches)), 1.0)
    assert loss == plain.losses[0]
    for mine, theirs in zip((loss, *gradients), compute(batch), strict=True):
        assert np.abs(mine - theirs).max() <= 1e-5 * np.abs(mine).max()


@pytest.mark.slow
def test_samples_of_two_replicas_are_those_of_one(tmp_path):
    model = PixelCNNPlusPlus((8, 8, 1), num_classes=2, **SMALLEST)
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    paths = [str(tmp_path / "one"), str(tmp_path / "two")]
    write_samples(model, 5, 1, paths[0])
    write_samples(model, 5, 1, paths[1], workers=Workers(mirrored))
    images = [np.load(path + ".npz")["images"] for path in paths]
    np.testing.assert_array_equal(*images)


def test_steps_per_loop_changes_nothing(plain):
    one_by_one, several = (plain.from_the_beginning(counts) for counts in ([1] * 5, [2, 3]))
    np.testing.assert_array_equal(one_by_one[0], plain.losses[:5])
    for mine, theirs in zip(one_by_one, several, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    "dtype", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
def test_mixed_precision(plain, tmp_path, dtype):
    trainer = trainer_of(tmp_path, dtype=dtype)
    trainer.initialize()
    # The initialisation is in float32: the same to the bit.
    weights = trainer.model.trainable_variables
    for mine, theirs in zip(plain.initial[: len(weights)], weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert theirs.dtype == "float32"
    assert trainer.averaged_model.compute_dtype == "float32"
    losses, expected = losses_of(trainer, [10]), plain.losses
    np.testing.assert_allclose(losses[0], expected[0], rtol=1e-3)  # of the same parameters
    np.testing.assert_allclose(losses.mean(), expected.mean(), rtol=0.01)
    outputs = trainer.model(tf.zeros([1, 8, 8, 1]))
    assert outputs.dtype == tf.float32  # of the head
    if dtype == "mixed_float16":
        assert 0 < float(trainer.loss_scale.scale) <= 1.0


def test_convolutions_are_in_the_policys_precision():
    with dtype_policy("mixed_bfloat16"):
        model = PixelCNNPlusPlus((8, 8, 1), **ONE_STAGE)
    images = tf.zeros([2, 8, 8, 1])
    graph = loss_and_gradients(model, images).get_concrete_function().graph
    types = {op.outputs[0].dtype for op in graph.get_operations() if op.type.startswith("Conv2D")}
    assert types == {tf.bfloat16}
    assert not any(
        tensor.dtype == tf.float64 for op in graph.get_operations() for tensor in op.outputs
    )


def test_overflow_skips_the_update_and_halves_the_scale(tmp_path):
    trainer = trainer_of(tmp_path, dtype="mixed_float16")
    data_dependent_init(trainer.averaged_model, random_values(4, 8, 8, 1))
    trainer.loss_scale.scale.assign(2.0**40)
    before = [v.numpy() for v in trainer.model.trainable_variables]
    loss = losses_of(trainer, [1])
    assert np.isfinite(loss).all()
    for old, new in zip(before, trainer.model.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)
    assert float(trainer.loss_scale.scale) == 2.0**39


def test_loss_scale_grows_after_many_good_steps():
    scale = LossScale()
    scale.good_steps.assign(GROWTH_STEPS - 2)
    scale.update(tf.constant(True))
    assert float(scale.scale) == 1.0
    scale.update(tf.constant(True))
    assert float(scale.scale) == 2.0 and int(scale.good_steps) == 0


@pytest.mark.slow
def test_jit_compile(tmp_path):
    values = dict(dropout_p=0.5, polyak_decay=0.5)  # so that the average moves
    reference = trainer_of(tmp_path, **values)
    trainer = trainer_of(tmp_path, **values, jit_compile=True)
    for each in (reference, trainer):
        each.initialize()
    start = [v.numpy() for v in trainer.averaged_model.variables]
    np.testing.assert_allclose(losses_of(trainer, [2]), losses_of(reference, [2]), rtol=1e-4)
    averaged = [each.averaged_model.variables for each in (trainer, reference)]
    for before, mine, theirs in zip(start, *averaged, strict=True):
        difference = np.abs(mine.numpy() - theirs.numpy()).max()
        assert difference < 0.01 * np.abs(theirs.numpy() - before).max()


def test_jit_compile_leaves_no_operation_on_weights_outside(tmp_path):
    trainer = trainer_of(tmp_path, jit_compile=True)
    loop = trainer.loop_function.get_concrete_function(
        iter(trainer.dataset.train.epoch(0, 20, seed=1)), tf.constant(1)
    )
    library = {f.signature.name: f for f in loop.graph.as_graph_def().library.function}
    compiled = [name for name, f in library.items() if f.attr["_XlaMustCompile"].b]
    (body,) = (f for name, f in library.items() if "while_body" in name)
    (call,) = (node for node in body.node_def if node.attr["f"].func.name in compiled)
    assert len(body.node_def) < 60 and len(library[call.attr["f"].func.name].node_def) > 500
    assert not any(node.op.startswith("Resource") for node in body.node_def)


def test_jit_compile_takes_one_replica(tmp_path):
    config = config_of(tmp_path, ONE_STAGE_RUN, jit_compile=True)
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with pytest.raises(UserError, match="jit_compile: only with one replica, here are 2"):
        Trainer(run_of(config), load("digits"), mirrored)


def test_strategies_that_cannot_be_had(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="nr_gpu=99: only"):
        make_strategy(nr_gpu=99)
    with pytest.raises(UserError, match="TF_CONFIG must name the cluster"):
        make_strategy("multi_worker")
    cluster = {"worker": ["a:1", "b:1"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster}))
    with pytest.raises(UserError, match="TF_CONFIG is not"):
        read_cluster()
    task = {"type": "worker", "index": 2}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    with pytest.raises(UserError, match="none of the cluster's"):
        read_cluster()
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task | {"index": 1}}))
    assert read_cluster() == (2, 1)


def test_strategies_by_name():
    assert make_strategy().num_replicas_in_sync == 1
    assert make_strategy("mirrored").num_replicas_in_sync == 2  # see conftest.py


def test_another_number_of_replicas_needs_the_same_global_batch(tmp_path):
    config = from_values({"workdir": str(tmp_path), "batch_size": 16})
    description = DataDescription((8, 8, 1), 17, None)
    write_config(config.replace(batch_size=32), description)
    saved = Run.open(str(tmp_path)).saved
    config_json.check_config_matches(
        saved, config.replace(batch_size=8, strategy="mirrored", remat=True)
    )
    config_json.check_batch_matches(saved, config, 2)
    config_json.check_batch_matches(saved, config.replace(batch_size=32), 1)
    with pytest.raises(UserError, match="global batch of 64, .* with 32; use --batch_size=8"):
        config_json.check_batch_matches(saved, config, 4)
    with pytest.raises(UserError, match="a number of replicas that divides 32"):
        config_json.check_batch_matches(saved, config, 3)
    with pytest.raises(UserError, match="dtype"):
        config_json.check_config_matches(saved, config.replace(dtype="mixed_bfloat16"))


def test_config_of_an_older_run_is_read(tmp_path):
    config = from_values({"workdir": str(tmp_path)})
    write_config(config, DataDescription((8, 8, 1), 17, None))
    path = tmp_path / "config.json"
    fields = json.loads(path.read_text())
    for name in ("strategy", "dtype", "remat", "steps_per_loop", "on_nan", "global_batch_size"):
        del fields[name]
    path.write_text(json.dumps(fields))
    saved = Run.open(str(tmp_path)).saved
    assert saved.config == config
    config_json.check_config_matches(saved, config)
    config_json.check_batch_matches(saved, config, 1)


def run_replicas(output, num_devices, *changes, environment=None):
    command = [sys.executable, REPLICA_RUN, str(num_devices), str(output), *changes]
    return subprocess.Popen(
        command, env=os.environ | (environment or {}), stderr=subprocess.PIPE, text=True
    )


def two_workers(port):
    cluster = {"worker": [f"localhost:{port}", f"localhost:{port + 1}"]}
    return [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})}
        for index in range(2)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("changes", [(), ("class_conditional=true",)], ids=["", "conditional"])
def test_devices_and_workers_equal_one_device(tmp_path, changes):
    """20 steps on 1, 2 and 4 devices and on 2 processes, dropout on."""
    runs = {
        "one": [run_replicas(tmp_path / "one.npz", 1, *changes)],
        "two": [run_replicas(tmp_path / "two.npz", 2, *changes)],
    }
    for name, started in runs.items():
        for process in started:
            _, errors = process.communicate()
            assert process.returncode == 0, (name, errors[-2000:])
    run = run_replicas(tmp_path / "four.npz", 4, *changes)
    assert run.communicate() and run.returncode == 0
    workers = [
        run_replicas(tmp_path / "workers.npz", 1, *changes, environment=environment)
        for environment in two_workers(free_port())
    ]
    for process in workers:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors[-2000:]
    one = np.load(tmp_path / "one.npz")
    for name, replicas in (("two", 2), ("four", 4), ("workers", 2)):
        other = np.load(tmp_path / f"{name}.npz")
        assert other["replicas"] == replicas
        np.testing.assert_allclose(other["score"], one["score"], rtol=1e-5)
        for key in one.files:
            if key != "replicas":
                # Moments are gradients, in which the rounding of sums shows more; that of two
                # processes, which share a batch otherwise, most.
                moment_of_workers = name == "workers" and key.startswith("optimizer")
                bound = 1e-3 if moment_of_workers else 1e-4
                difference = np.abs(other[key] - one[key]).max()
                assert difference <= bound * np.abs(one[key]).max(), (name, key)
        images = [np.load(tmp_path / f"samples_{n}.npz")["images"] for n in ("one", name)]
        np.testing.assert_array_equal(*images)


def free_port():
    """A port with a free one after it, most likely."""
    import socket

    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("warmup", [False, True])
def test_the_average_follows_the_initialised_weights(warmup, tmp_path):
    trainer = trainer_of(tmp_path, polyak_warmup=warmup)
    twin = make_model(trainer.config, trainer.dataset)
    twin.set_weights(trainer.model.get_weights())
    batch = trainer.dataset.train.first_shuffled(trainer.config.init_batch_size, 1)
    assert trainer.config.seed == 1
    twin.initialize(levels_to_input(batch["images"], 17), seed=1)
    trainer.initialize()
    expected = twin.get_weights()
    for mine, theirs in zip(trainer.model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    batches = iter(trainer.dataset.train.epoch(0, 20, seed=1))
    for step in range(2):
        decay = trainer.config.polyak_decay
        if warmup:
            decay = min(decay, (1 + step) / (10 + step))
        trainer.train_steps(batches, 1)
        new = trainer.model.get_weights()
        expected = [decay * e + (1 - decay) * w for e, w in zip(expected, new, strict=True)]
    for mine, theirs in zip(trainer.averaged_model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_the_loss_scale_is_undone_and_kept(tmp_path):
    trainer = trainer_of(tmp_path, dtype="mixed_float16")
    trainer.initialize()
    batch = next(iter(trainer.dataset.train.epoch(0, 20, seed=1)))
    norms = []
    for scale in (0.25, 0.0625):
        trainer.loss_scale.scale.assign(scale)
        (gradients, _), bad = tf.function(trainer._scaled_gradients)(batch)[1:]
        assert not bad
        norms.append(float(tf.linalg.global_norm(gradients)))
    assert norms[0] == pytest.approx(norms[1], rel=0.02)
    trainer.checkpoints.save(1)
    again = trainer_of(tmp_path, dtype="mixed_float16")
    assert again.restore() == 1
    assert float(tf.convert_to_tensor(again.loss_scale.scale)) == 0.0625
