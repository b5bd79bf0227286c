"""Where checkpoints stand, in which order they are written, and what is refused."""

import os

import pytest
import tensorflow as tf
from small import load_run, write_config

from train.config.models import make_model
from train.config.presets import from_values
from train.data.description import DataDescription
from train.errors import UserError
from train.run import Run
from train.run.checkpoints import Checkpoints
from train.serving import official_checkpoint

DATA = DataDescription((4, 4, 1), 17, None)
SIZES = dict(config="tiny", model="pixelcnn", nr_resnet=1, nr_filters=4, num_head_filters=4)


def make_run(workdir, step=3):
    """A run in the folder, untrained; returns its model and its `Checkpoints`."""
    config = from_values(SIZES | {"workdir": str(workdir)})
    os.makedirs(workdir, exist_ok=True)
    write_config(config, DATA)
    model, averaged = make_model(config, DATA), make_model(config, DATA)
    checkpoints = Checkpoints(str(workdir), model, averaged)
    checkpoints.save(step)
    return model, checkpoints


@pytest.mark.parametrize("name", ["run [x]", "run*", "wh?t", "back\\slash", "a[b/c]d"])
def test_paths_that_tensorflow_takes_for_patterns_are_rejected(tmp_path, name):
    with pytest.raises(UserError, match="the path must not contain any of"):
        Run.open(tmp_path / name)


def test_sweeping_deletes_nothing_of_another_run(tmp_path):
    make_run(tmp_path / "run x", step=1)
    _, checkpoints = make_run(tmp_path / "run y", step=1)
    for step in range(2, 6):
        checkpoints.save(step)
    assert checkpoints.steps() == [3, 4, 5]
    assert load_run(str(tmp_path / "run x"))[3] == 1


def test_all_is_on_the_disk_before_the_oldest_goes(tmp_path, monkeypatch):
    _, checkpoints = make_run(tmp_path, step=1)
    checkpoints.save(2)
    checkpoints.save(3)
    events = []
    for name in ("replace", "remove"):
        function = getattr(os, name)

        def noted(*paths, name=name, function=function):
            events.append((name, os.path.basename(paths[-1])))
            return function(*paths)

        monkeypatch.setattr(os, name, noted)
    fsync = os.fsync

    def noted_fsync(descriptor):
        events.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))))
        return fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    checkpoints.save(4)
    ending = ".data-00000-of-00001"
    assert events[:5] == [
        ("fsync", "unfinished" + ending),
        ("fsync", "unfinished.index"),
        ("replace", "step-4" + ending),
        ("replace", "step-4.index"),
        ("fsync", "checkpoints"),
    ]
    assert {("remove", "step-1.index"), ("remove", "step-1" + ending)} <= set(events[5:])
    assert not any(name.startswith("unfinished") for name in os.listdir(checkpoints.directory))
    assert tf.train.latest_checkpoint(checkpoints.directory).endswith("step-4")


def test_what_a_killed_write_left_is_no_checkpoint_and_goes(tmp_path):
    _, checkpoints = make_run(tmp_path)
    folder = tmp_path / "checkpoints"
    (folder / "unfinished.index").write_bytes(b"x")
    (folder / "unfinished_temp").mkdir()
    (folder / "step-1_temp").mkdir()  # of an older version of this program
    assert load_run(str(tmp_path))[3] == 3
    for step in (4, 5, 6):
        checkpoints.save(step)
    assert {name.split(".")[0] for name in os.listdir(folder)} == {
        "checkpoint",
        "step-4",
        "step-5",
        "step-6",
    }


@pytest.mark.parametrize(
    "edit, message",
    [
        ({"nr_filters": 6}, r"kernel.* is \[.*\] there, but \[.*\] here"),
        ({"nr_resnet": 2}, "is .* there|variables of weights, the model"),
    ],
)
def test_edited_sizes_are_told(tmp_path, edit, message):
    make_run(tmp_path)
    config = from_values(SIZES | {"workdir": str(tmp_path)}).replace(**edit)
    write_config(config, DATA)
    with pytest.raises(UserError, match="not of the model that config.json describes") as error:
        load_run(str(tmp_path))
    assert "backup" not in str(error.value)


@pytest.mark.parametrize("ending", [".index", ".data-00000-of-00001"])
def test_a_file_of_an_official_checkpoint_stands_for_it(ending):
    from parity_data import DIRECTORY

    path = str(DIRECTORY / "official_checkpoint" / "params_cifar.ckpt")
    assert official_checkpoint.read(path + ending).step == official_checkpoint.read(path).step
