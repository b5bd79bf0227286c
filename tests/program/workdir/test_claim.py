"""A folder belongs to one run at a time, and only to its own."""

import fcntl
import os
import subprocess
import sys
import time

import pytest

from train.config.presets import from_values
from train.errors import UserError
from train.main import train
from train.run.lock import claim
from train.run.restarts import Restarts


def test_a_second_run_is_refused_and_told_whose_the_folder_is(tmp_path):
    with claim(str(tmp_path)):
        assert f"process {os.getpid()} on " in (tmp_path / "lock").read_text()
        with pytest.raises(UserError, match=f"another run is at work here .process {os.getpid()}"):
            train(from_values({"workdir": str(tmp_path), "config": "tiny"}))
    assert os.listdir(tmp_path) == []
    with claim(str(tmp_path)):
        pass


OWNER = """
import sys, time
from train.run.lock import claim
from train.run.restarts import Restarts
with claim(sys.argv[1]):
    print("mine", flush=True)
    time.sleep(60)
"""


def test_a_killed_owner_leaves_the_folder_free(tmp_path):
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "mine\n"
        with pytest.raises(
            UserError, match=f"process {owner.pid} on .*, since {time.strftime('%Y')}"
        ):
            with claim(str(tmp_path)):
                pass
        owner.kill()
    assert (tmp_path / "lock").exists()
    with claim(str(tmp_path)):
        pass


def test_only_the_chief_of_several_workers_locks(tmp_path, monkeypatch):
    cluster = '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}'
    monkeypatch.setenv("TF_CONFIG", cluster)
    reached = []
    monkeypatch.setattr("train.main._train", lambda config, workers: reached.append(workers))
    config = from_values({"workdir": str(tmp_path), "config": "tiny"})
    with claim(str(tmp_path)):
        train(config)
        assert reached == [2]
        with pytest.raises(UserError, match="another run"):
            train(config.replace(strategy="one_device"))  # a run of its own
        monkeypatch.setenv("TF_CONFIG", cluster.replace('"index": 1', '"index": 0'))
        with pytest.raises(UserError, match="another run"):
            train(config)


def test_checkpoints_without_a_configuration_are_not_continued(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-7.index").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds checkpoints \(step-7.index\), but config.json"):
        train(from_values({"workdir": str(tmp_path), "config": "tiny"}))
    assert os.listdir(tmp_path) == ["checkpoints"]


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, capsys):
    def flock(file, how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with claim(str(tmp_path)):
        pass
    assert "no locks here (No locks available)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["checkpoints", "samples", "tensorboard"])
def test_a_file_in_the_place_of_a_folder_is_told_at_once(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=f"{name} there is no folder"):
        with claim(str(tmp_path)):
            pass


@pytest.mark.parametrize(
    "content", [b'{"a": 1}', b"[null]", b"[1e999]", b"\xff", b'["7"]', b"[1.5]"]
)
def test_restarts_that_are_none(tmp_path, content):
    (tmp_path / "restarts.json").write_bytes(content)
    with pytest.raises(UserError, match="restarts.json: not a list of steps"):
        Restarts(str(tmp_path))
