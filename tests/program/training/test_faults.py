"""What goes wrong in a long run: signals, full disks, damaged files, losses that are not finite.

`make faults` tries the same on whole processes, with more kills and several of them.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from full_disk import largest_file, limit_files
from left_behind import arrays_of, assert_same_run, rows_of
from small import ONE_STAGE_RUN, config_of, copy_run, run_training, without_scores

from train.errors import NotFinite, Stopped, UserError, writing
from train.run.metrics import rotate_log
from train.run.restarts import Restarts
from train.training.signals import StopRequest
from train.training.trainer import Trainer

VALUES = ONE_STAGE_RUN | dict(
    batch_size=50,
    max_steps=6,
    log_interval=4,
    checkpoint_interval=2,
    eval_interval=0,
    num_samples=0,
)


@pytest.fixture(scope="module", autouse=True)
def unscored():
    """No test here looks at scores."""
    with without_scores():
        yield


def config_in(workdir, **changes):
    return config_of(workdir, VALUES, **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, unscored):
    workdir = tmp_path_factory.mktemp("run")
    run_training(config_in(workdir))
    return workdir


@contextlib.contextmanager
def before_steps(action):
    """Within it, `action(trainer, number)` runs before every call of the compiled loop."""
    original, calls = Trainer.train_steps, []

    def train_steps(self, batches, count):
        calls.append(count)
        action(self, len(calls))
        return original(self, batches, count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_steps", train_steps)
        yield


def test_stopped_run_resumes_exactly(tmp_path):
    """Stopped after step 3, between two rows of the log and two checkpoints; of three stages."""
    undisturbed, tmp_path = tmp_path / "undisturbed", tmp_path / "stopped"
    run_training(config_in(undisturbed, num_stages=3))

    def stop(trainer, number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1.0)  # until the watching thread has seen it

    with before_steps(stop), pytest.raises(Stopped, match="SIGTERM: stopped after step 3") as error:
        run_training(config_in(tmp_path, num_stages=3))
    assert error.value.exit_code == 75
    assert os.path.exists(tmp_path / "checkpoints" / "step-3.index")
    run_training(config_in(tmp_path, num_stages=3))
    assert_same_run(tmp_path, undisturbed)


SECOND_SIGNAL = """
import os, signal, time
from train.training.signals import StopRequest
with StopRequest() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    while stop.name is None:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    # Python's own handlers would wait for this, as for a step of TensorFlow.
    import ctypes
    ctypes.CDLL(None).sleep(30)
"""


def test_second_signal_ends_at_once():
    begin = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", SECOND_SIGNAL], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - begin < 20
    assert "SIGINT: stopping after this step" in result.stderr
    assert "second signal: ending at once" in result.stderr


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert signal.getsignal(signal.SIGTERM) != before
        assert stop.name is None
    assert signal.getsignal(signal.SIGTERM) == before


def plant_nan(trainer):
    variable = trainer.model.trainable_variables[0]
    variable.assign(variable * np.nan)


def test_restore_after_nan_takes_another_order(finished, tmp_path, capsys):
    def plant(trainer, number):
        if number == 4:
            plant_nan(trainer)

    config = config_in(tmp_path, on_nan="restore", checkpoint_interval=3, log_interval=1)
    with before_steps(plant):
        run_training(config)
    assert "the loss is nan at step 4; going back to step 3" in capsys.readouterr().out
    assert Restarts(str(tmp_path)).steps == [3]
    rows = rows_of(tmp_path)
    assert [row["step"] for row in rows if "train/bits_per_dim" in row] == [1, 2, 3, 4, 5, 6]
    mine, undisturbed = arrays_of(tmp_path), arrays_of(finished)
    name = "parameters/0/.ATTRIBUTES/VARIABLE_VALUE"
    assert np.isfinite(mine[name]).all() and (mine[name] != undisturbed[name]).any()


@pytest.mark.slow
def test_restore_gives_up_after_three_times(tmp_path):
    def plant(trainer, number):
        if number > 1:
            plant_nan(trainer)

    with before_steps(plant), pytest.raises(NotFinite, match="has gone back 3 times"):
        run_training(config_in(tmp_path, on_nan="restore", log_interval=1))
    assert Restarts(str(tmp_path)).steps == [0, 0, 0]
    assert not os.path.exists(tmp_path / "checkpoints" / "step-2.index")


def test_seed_is_a_function_of_the_step_and_the_restarts(tmp_path):
    restarts = Restarts(str(tmp_path))
    for step in (4, 4, 9):
        restarts.add(step, write=True)
    seeds = [Restarts(str(tmp_path)).seed(1, step) for step in range(12)]
    assert seeds[:4] == [1] * 4 and len(set(seeds[4:9])) == len(set(seeds[9:])) == 1
    assert len({seeds[0], seeds[4], seeds[9]}) == 3
    (tmp_path / "restarts.json").write_text("[1, 2")
    with pytest.raises(UserError, match="not a list of steps"):
        Restarts(str(tmp_path))


def test_no_room_for_a_checkpoint(finished, tmp_path):
    copy_run(finished, tmp_path)
    config = config_in(tmp_path, max_steps=10, log_interval=100)
    with largest_file(50_000), pytest.raises(UserError) as error:
        run_training(config)
    assert "cannot write the checkpoint of step 8" in str(error.value)
    assert "the last checkpoint is that of step 6" in str(error.value)
    left = os.listdir(tmp_path / "checkpoints")
    assert not any("step-8" in name for name in left)
    assert {f"step-{n}.index" for n in (2, 4, 6)} <= set(left)


@pytest.mark.slow
def test_no_room_for_a_log_row(finished, tmp_path):
    copy_run(finished, tmp_path)
    path = tmp_path / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(whole + " " * 8000 + '{"step": 7, "tr')  # and a half line, which is dropped
    config = config_in(tmp_path, max_steps=8, log_interval=1)

    def fill(trainer, number):
        limit_files(len(whole) + 20)

    with largest_file(10**9), before_steps(fill), pytest.raises(UserError) as error:
        run_training(config)
    assert "cannot write" in str(error.value) and "metrics.jsonl" in str(error.value)
    assert "goes on from the last checkpoint" in str(error.value)
    run_training(config)
    steps = [row["step"] for row in rows_of(tmp_path) if "train/bits_per_dim" in row]
    assert steps == [4, 6, 7, 8]


@pytest.mark.slow
def test_no_room_for_a_sample(tmp_path):
    config = config_in(tmp_path, max_steps=1, num_samples=100, log_interval=100)

    def fill(trainer, number):
        limit_files(1500)

    with largest_file(10**9), before_steps(fill), pytest.raises(UserError) as error:
        run_training(config)
    assert "cannot write" in str(error.value) and "samples/step_0000001" in str(error.value)
    assert not (tmp_path / "samples" / "step_0000001.npz").exists()
    assert not (tmp_path / "checkpoints" / "step-1.index").exists()


@pytest.mark.slow
def test_checkpoint_without_index_is_told(finished, tmp_path, capsys):
    copy_run(finished, tmp_path)
    (tmp_path / "checkpoints" / "step-6.index").unlink()
    run_training(config_in(tmp_path))
    output = capsys.readouterr().out
    assert "step-6 is not whole (it has no index)" in output
    assert "resuming at step 4" in output
    assert_same_run(tmp_path, finished)


def test_a_run_without_its_checkpoints_keeps_its_log(finished, tmp_path, capsys):
    copy_run(finished, tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    run_training(config_in(tmp_path))
    assert f"its previous log is now {tmp_path}/metrics.jsonl.before" in capsys.readouterr().out
    before = (finished / "metrics.jsonl").read_text()
    assert (tmp_path / "metrics.jsonl.before").read_text() == before
    assert_same_run(tmp_path, finished)
    assert rotate_log(str(tmp_path)) == f"{tmp_path}/metrics.jsonl.before1"  # the first one stays


def test_errors_of_writing_are_told():
    with pytest.raises(UserError, match="cannot write x: No space left on device, go on"):
        with writing("x", ", go on"):
            raise OSError(28, os.strerror(28))
    with pytest.raises(UserError, match="cannot write x: full"):
        with writing("x"):
            raise tf.errors.ResourceExhaustedError(None, None, "full")
    with pytest.raises(KeyError):
        with writing("x"):
            raise KeyError("not of writing")


@pytest.mark.slow
def test_old_checkpoints_are_swept(finished, tmp_path):
    """A killed run's checkpoint manager forgets some; they do not pile up."""
    copy_run(finished, tmp_path)
    (tmp_path / "checkpoints" / "checkpoint").unlink()
    (tmp_path / "checkpoints" / "step-2.index").unlink()
    run_training(config_in(tmp_path, max_steps=8))
    names = {n.split(".")[0] for n in os.listdir(tmp_path / "checkpoints")}
    assert names == {"checkpoint", "step-4", "step-6", "step-8"}
