"""A stop in the midst of an evaluation or of sampling: nothing of it shows in the end."""

import contextlib
import io
import os
import signal
import time

import numpy as np
import pytest
import tensorflow as tf
from left_behind import assert_same_run, rows_of
from small import config_of, run_training

import train.training.loop as loop_module
from train.config.presets import from_values
from train.devices import Workers
from train.errors import Interrupted, Stopped, UserError
from train.main import train
from train.sampling.replicas import on_all_replicas
from train.training.loop import Loop

VALUES = dict(
    config="tiny",
    model="pixelcnn",
    nr_resnet=1,
    nr_filters=4,
    num_head_filters=4,
    batch_size=20,  # 3 steps an epoch
    init_batch_size=1000,
    max_steps=6,
    log_interval=2,
    checkpoint_interval=0,
    eval_interval=1,
    save_interval=1,
    num_samples=2,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set of small images."""
    path = str(tmp_path_factory.mktemp("data") / "set.npz")
    images = np.random.default_rng(0).integers(0, 4, [80, 4, 4, 1], dtype=np.uint8)
    np.savez(path, x_train=images[:60], x_test=images[60:], num_levels=4)
    return path


def run_in(workdir, data):
    return run_training(config_of(workdir, VALUES, dataset=data))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data):
    """A run: its folder, scores and output."""
    workdir, output = tmp_path_factory.mktemp("run"), io.StringIO()
    with contextlib.redirect_stdout(output):
        scores = run_in(workdir, data)
    return workdir, scores, output.getvalue()


def stop_in(monkeypatch, owner, name, call):
    """Sends SIGTERM once the work of that name begins for the time `call`."""
    original, calls = getattr(owner, name), []

    def work(*arguments, **options):
        calls.append(name)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1.0)  # until the watching thread has seen it
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, work)


def test_work_under_way_is_given_up_and_done_again(
    undisturbed, data, tmp_path, monkeypatch, capsys
):
    """A run that is stopped while it evaluates, goes on, and is stopped while it samples."""
    workdir, scores, _ = undisturbed
    (tmp_path / "samples").mkdir()
    begin = "starting at step 0"
    for owner, name, call, step in [(Loop, "evaluate", 1, 3), (loop_module, "write_samples", 2, 6)]:
        for ending in (
            ".npz",
            ".png",
        ):  # of another order of the data, before a loss was not finite
            (tmp_path / "samples" / f"step_{step:07d}{ending}").write_bytes(b"old")
        stopped = f"SIGTERM: stopped after step {step}, which is"
        with monkeypatch.context() as patch, pytest.raises(Stopped, match=stopped) as error:
            stop_in(patch, owner, name, call)
            run_in(tmp_path, data)
        assert error.value.exit_code == 75
        assert os.path.exists(tmp_path / "checkpoints" / f"step-{step}.index")
        assert not os.path.exists(tmp_path / "samples" / f"step_{step:07d}.npz")
        assert begin in capsys.readouterr().out
        begin = f"resuming at step {step}"
    assert run_in(tmp_path, data) == scores
    assert begin in capsys.readouterr().out
    assert_same_run(tmp_path, workdir)


def test_a_finished_run_is_only_evaluated_again_and_can_be_stopped(undisturbed, data, monkeypatch):
    workdir, scores, _ = undisturbed
    before = rows_of(workdir)
    stop_in(monkeypatch, Loop, "evaluate", 2)
    assert run_in(workdir, data) == scores
    with pytest.raises(Stopped, match="after step 6"):
        run_in(workdir, data)
    assert rows_of(workdir) == before


def test_what_takes_long_or_is_not_as_asked_is_told(undisturbed):
    output = undisturbed[2]
    for what in ("the training step", "the evaluation", "the sampler"):
        assert output.count(f"compiling {what} ...\n") == 1
    text = "initialising the weights on 60 images (--init_batch_size asks for more) ..."
    assert text in output


@pytest.mark.parametrize("total", [1, 5, 6])
def test_shares_of_replicas(total):
    workers = Workers(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
    shares, told = [], []

    def make(numbers, progress):
        progress(len(numbers))
        shares.append(len(numbers))
        return tf.constant(numbers) * 10

    rows = on_all_replicas(workers, make, total, told.append)
    np.testing.assert_array_equal(rows, np.arange(total) * 10)
    assert len(set(shares)) == 1 and len(told) == 1

    def give_up(rows):
        raise Interrupted

    with pytest.raises(Interrupted):
        on_all_replicas(workers, make, total, give_up)


def test_more_samples_than_memory_are_refused_before_anything_is_trained(data, tmp_path):
    config = from_values(VALUES | {"workdir": str(tmp_path), "dataset": data, "num_samples": 10**9})
    with pytest.raises(UserError, match="num_samples=1000000000: needs [0-9,]+ bytes"):
        train(config)
    assert os.listdir(tmp_path) == []
