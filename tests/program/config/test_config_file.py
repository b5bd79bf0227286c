"""`config.json` as anything may have left it: told by the field, never a traceback."""

import json
import platform

import pytest
import tensorflow as tf

from train.config import config_json as configuration
from train.config.presets import from_values
from train.errors import UserError
from train.main import train

DATA = configuration.DataDescription((8, 8, 1), 17, 10)
READ = configuration.DataRead(10, 5, False)._asdict()


def write_config(workdir, change):
    configuration.save(from_values({"config": "tiny", "workdir": str(workdir)}), DATA)
    path = workdir / "config.json"
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


def setting(name, value):
    return lambda fields: fields.update({name: value})


@pytest.mark.parametrize("field", ["num_levels", "model", "dataset", "global_batch_size", "data"])
@pytest.mark.parametrize("value", [None, "x", [], {}, 1.5, True, -1])
def test_a_wrong_value_is_told_by_its_field(tmp_path, field, value):
    if (field, value) in [("dataset", "x"), ("global_batch_size", None)]:
        return  # right ones
    field = "image_shape" if (field, value) == ("data", {}) else field
    write_config(tmp_path, setting(field, value))
    with pytest.raises(UserError, match=rf"config.json: not a configuration .*{field}") as error:
        configuration.load(str(tmp_path))
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=field):
        train(from_values({"config": "tiny", "workdir": str(tmp_path)}))


@pytest.mark.parametrize(
    "change, message",
    [
        (setting("nr_filters", "24"), "nr_filters='24': must be of type int"),
        (setting("batch_size", 0), "batch_size=0: must be at least 1"),
        (setting("global_batch_size", 0), "global_batch_size is 0"),
        (setting("nr_filter", 3), "nr_filter"),
        (setting("learning_rate", float("nan")), "learning_rate=nan: must be above 0"),
        (setting("data", {"image_shape": [8, 8], "num_levels": 2}), "image_shape"),
        (setting("data", {"image_shape": [8, 8, 1], "num_levels": None}), "num_levels"),
        (setting("data", {"image_shape": [8, 8, 1], "num_levels": 2}), "'num_classes' is missing"),
        (lambda fields: fields.pop("data"), "'data' is missing"),
        (setting("versions", ["3.11"]), "versions is ['3.11']"),
        (setting("versions", {"python": 3}), "versions is {'python': 3}"),
        (setting("read", {"num_train": 3}), "read is {'num_train': 3}"),
        (setting("read", READ | {"num_train": -1}), "read.num_train is -1"),
        (setting("read", READ | {"values_are_levels": 1}), "read.values_are_levels is 1"),
        (setting("read", READ | {"parts_by_hash": 1}), "read.parts_by_hash is 1"),
    ],
)
def test_other_damage(tmp_path, change, message):
    write_config(tmp_path, change)
    with pytest.raises(UserError, match="config.json: not a configuration") as error:
        configuration.load(str(tmp_path))
    assert message in str(error.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff\xfe{}", b"3", b"[" * 5000])
def test_a_file_that_is_no_object(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match="config.json: not a configuration"):
        configuration.load(str(tmp_path))


def test_batch_advice_is_one_that_can_be_followed():
    config = from_values({"config": "tiny", "workdir": "x", "batch_size": 8})
    saved = configuration.Saved(config, DATA, 16)
    with pytest.raises(UserError, match="use a number of replicas that divides 16"):
        configuration.refuse_another_batch(saved, config, 32)
    with pytest.raises(UserError, match="use --batch_size=16"):
        configuration.refuse_another_batch(saved, config, 1)


def test_another_ground_is_another_run():
    """A run of before --alpha dropped the transparency, and may say so."""
    config = from_values({"config": "tiny", "workdir": "x"})
    configuration.refuse_another(
        configuration.Saved(config, DATA, 16), config.replace(alpha="drop")
    )
    white = configuration.Saved(config.replace(alpha="white"), DATA, 16)
    with pytest.raises(UserError, match="alpha .there 'white', here 'black'"):
        configuration.refuse_another(white, config.replace(alpha="black"))


def test_versions_are_kept(tmp_path):
    write_config(tmp_path, lambda fields: None)
    versions = configuration.load(str(tmp_path)).versions
    assert versions["python"] == platform.python_version()
    assert versions["tensorflow"] == tf.__version__
    write_config(tmp_path, lambda fields: fields.pop("versions"))  # of an older run
    assert configuration.load(str(tmp_path)).versions == {}
