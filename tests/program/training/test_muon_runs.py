"""Muon in the program: resumed bit for bit, on two replicas, compiled by XLA, other models."""

import numpy as np
import pytest
import tensorflow as tf
from small import SMALLEST_RUN, config_of, run_of, run_training, without_scores

from train.data.load import load
from train.errors import UserError
from train.training.trainer import Trainer

MUON = SMALLEST_RUN | dict(
    optimizer="muon",
    muon_learning_rate=0.02,
    batch_size=20,
    eval_interval=0,
    num_samples=0,
    checkpoint_interval=3,
)


def arrays_of(workdir):
    latest = tf.train.latest_checkpoint(str(workdir / "checkpoints"))
    reader = tf.train.load_checkpoint(latest)
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names if name.endswith("VARIABLE_VALUE")}


def test_resumed_run_equals_an_uninterrupted_one(tmp_path):
    """All of the checkpoint, momenta included; with the real three-stage network."""
    with without_scores():
        for name, limits in (("straight", [6]), ("resumed", [3, 6])):
            for max_steps in limits:
                run_training(config_of(tmp_path / name, MUON, max_steps=max_steps))
    straight, resumed = arrays_of(tmp_path / "straight"), arrays_of(tmp_path / "resumed")
    assert straight.keys() == resumed.keys() and any("optimizer" in name for name in straight)
    for name, value in straight.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


def weights_after(tmp_path, strategy, steps, **changes):
    replicas = strategy.num_replicas_in_sync
    config = config_of(tmp_path, MUON, **changes).replace(batch_size=20 // replicas)
    trainer = Trainer(run_of(config), load("digits"), strategy)
    trainer.initialize()
    batches = trainer.dataset.train.epoch(0, 20, seed=1)
    trainer.train_steps(iter(strategy.experimental_distribute_dataset(batches)), steps)
    return [variable.numpy() for variable in trainer.model.trainable_variables]


@pytest.mark.parametrize("kind", ["replicas", "xla"])
def test_two_replicas_and_xla_equal_one_device(tmp_path, kind):
    changes = dict()
    one = weights_after(tmp_path, tf.distribute.OneDeviceStrategy("CPU:0"), 4, **changes)
    if kind == "xla":
        strategy = tf.distribute.OneDeviceStrategy("CPU:0")
        changes["jit_compile"] = True
    else:
        reduce = tf.distribute.ReductionToOneDevice()
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], reduce)
    other = weights_after(tmp_path, strategy, 4, **changes)
    for mine, expected in zip(other, one, strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-4 * max(np.abs(expected).max(), 1e-3))


def test_model_without_hidden_kernels_is_rejected(tmp_path):
    values = dict(config="tiny", model="vq_vae", nr_filters=4, optimizer="muon")
    with pytest.raises(UserError, match="optimizer=muon: .*vq_vae"):
        run_training(config_of(tmp_path / "run", values))
    assert not (tmp_path / "run").exists()
