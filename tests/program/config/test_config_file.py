"""`config.json`, damaged in many ways: one sentence that names the field, never a traceback."""

import json
import platform

import pytest
import tensorflow as tf
from small import write_config

from train.config.config import OLD_NAMES
from train.config.presets import from_values
from train.data.description import DataDescription
from train.errors import UserError
from train.main import train
from train.run import Run, config_json

DATA = DataDescription((8, 8, 1), 17, 10)
READ = config_json.DatasetFingerprint(10, 5)._asdict()


def write_changed(workdir, change):
    write_config(from_values({"config": "tiny", "workdir": str(workdir)}), DATA)
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
    write_changed(tmp_path, setting(field, value))
    with pytest.raises(UserError, match=rf"config.json: not a configuration .*{field}") as error:
        Run.open(tmp_path)
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
        (
            setting("data", {"image_shape": [8, 8, 1], "num_levels": 2}),
            "data.num_classes is missing",
        ),
        (lambda fields: fields.pop("data"), "'data' is missing"),
        (setting("versions", ["3.11"]), "versions is ['3.11']"),
        (setting("versions", {"python": 3}), "versions is {'python': 3}"),
        (setting("read", {"num_train": 3}), "read.num_scored is missing"),
        (setting("read", READ | {"num_train": -1}), "read.num_train is -1"),
        (setting("read", READ | {"others": 1}), "read.others is unknown"),
        (setting("format_version", 99), "format_version is 99"),
        (setting("read", READ | {"parts_by_hash": 1}), "read.parts_by_hash is 1"),
    ],
)
def test_other_damage(tmp_path, change, message):
    write_changed(tmp_path, change)
    with pytest.raises(UserError, match="config.json: not a configuration") as error:
        Run.open(tmp_path)
    assert message in str(error.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff\xfe{}", b"3", b"[" * 5000])
def test_a_file_that_is_no_object(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match="config.json: not a configuration"):
        Run.open(tmp_path)


def test_batch_advice_is_one_that_can_be_followed():
    config = from_values({"config": "tiny", "workdir": "x", "batch_size": 8})
    saved = config_json.RunConfig(config, DATA, 16)
    with pytest.raises(UserError, match="use a number of replicas that divides 16"):
        config_json.check_batch_matches(saved, config, 32)
    with pytest.raises(UserError, match="use --batch_size=16"):
        config_json.check_batch_matches(saved, config, 1)


def test_another_background_is_another_run():
    config = from_values({"config": "tiny", "workdir": "x"})
    white = config_json.RunConfig(config.replace(alpha="white"), DATA, 16)
    with pytest.raises(UserError, match="alpha is 'white' there, 'black' here"):
        config_json.check_config_matches(white, config.replace(alpha="black"))


@pytest.mark.parametrize("declared", [True, False])
def test_format_1_is_read(tmp_path, declared):
    """Version 0.2: one flag declared the levels or reduced them, as `read` says."""
    read = {"num_train": 3, "num_scored": 2, "values_are_levels": declared}

    def downgrade(fields):
        del fields["format_version"], fields["quantize"]
        fields |= {"num_levels": 4, "read": read}

    write_changed(tmp_path, downgrade)
    run = Run.open(tmp_path)
    assert (run.config.num_levels, run.config.quantize) == ((4, 0) if declared else (0, 4))
    assert run.saved.fingerprint == config_json.DatasetFingerprint(3, 2)


def test_names_of_version_0_2_are_read(tmp_path):
    old = {"nr_output_filters": 7, "nr_embeddings": 12, "commitment": 0.5, "restart_codes": 3}

    def downgrade(fields):
        for name in ("num_stages", *(new for new, _ in OLD_NAMES.values())):
            del fields[name]
        fields |= old | {"codebook": "loss"}

    write_changed(tmp_path, downgrade)
    config = Run.open(tmp_path).config
    assert config.num_stages == 3 and config.codebook_update == "gradient"
    assert [getattr(config, OLD_NAMES[name][0]) for name in old] == list(old.values())


def test_versions_are_kept(tmp_path):
    write_changed(tmp_path, lambda fields: None)
    versions = Run.open(str(tmp_path)).saved.versions
    assert versions["python"] == platform.python_version()
    assert versions["tensorflow"] == tf.__version__
    write_changed(tmp_path, lambda fields: fields.pop("versions"))  # not recorded
    assert Run.open(str(tmp_path)).saved.versions == {}
