"""A folder belongs to one run at a time, and only to its own."""

import os
import subprocess
import sys

import pytest

from train.config.presets import from_values
from train.errors import UserError
from train.main import train
from train.run import Run
from train.run.restarts import Restarts


def config_in(workdir, **changes):
    return from_values({"workdir": str(workdir), "config": "tiny"} | changes)


def test_second_run_in_a_folder_is_rejected(tmp_path):
    with Run.create(config_in(tmp_path)):
        with pytest.raises(UserError, match="another process is training in this folder"):
            train(config_in(tmp_path))
    assert os.listdir(tmp_path) == []
    Run.create(config_in(tmp_path)).close()


def test_new_folder_to_which_nothing_was_written_is_removed(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        train(config_in(tmp_path / "new", dataset="gone.npz"))
    assert os.listdir(tmp_path) == []


OWNER = """
import sys, time
from train.config.presets import from_values
from train.run import Run
with Run.create(from_values({"workdir": sys.argv[1], "config": "tiny"})):
    print("mine", flush=True)
    time.sleep(60)
"""


def test_lock_of_a_killed_process_is_released(tmp_path):
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "mine\n"
        with pytest.raises(UserError, match="another process is training"):
            Run.create(config_in(tmp_path))
        owner.kill()
    assert (tmp_path / "lock").exists()
    Run.create(config_in(tmp_path)).close()


def test_only_the_chief_of_several_workers_locks(tmp_path, monkeypatch):
    cluster = '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}'
    monkeypatch.setenv("TF_CONFIG", cluster)
    reached = []
    monkeypatch.setattr(
        "train.training.train_run.train_run", lambda run, workers: reached.append(workers)
    )
    config = config_in(tmp_path)
    with Run.create(config):
        train(config)
        assert reached == [2]
        with pytest.raises(UserError, match="another process"):
            train(config.replace(strategy="one_device"))  # a run of its own
        monkeypatch.setenv("TF_CONFIG", cluster.replace('"index": 1', '"index": 0'))
        with pytest.raises(UserError, match="another process"):
            train(config)


def test_checkpoints_without_a_configuration_are_not_continued(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-7.index").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds checkpoints \(step-7.index\), but config.json"):
        train(config_in(tmp_path))
    assert os.listdir(tmp_path) == ["checkpoints"]


def test_paths_that_tensorflow_takes_for_patterns_are_rejected(tmp_path):
    with pytest.raises(UserError, match=r"workdir=.*x\[1\]: the path must not contain"):
        Run.create(config_in(tmp_path / "x[1]"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["checkpoints", "samples", "tensorboard"])
def test_a_file_in_the_place_of_a_folder_is_told_at_once(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=f"{name} in it is a file"):
        Run.create(config_in(tmp_path))


@pytest.mark.parametrize(
    "content", [b'{"a": 1}', b"[null]", b"[1e999]", b"\xff", b'["7"]', b"[1.5]"]
)
def test_restarts_that_are_none(tmp_path, content):
    (tmp_path / "restarts.json").write_bytes(content)
    with pytest.raises(UserError, match="restarts.json: not a list of steps"):
        Restarts(str(tmp_path))
