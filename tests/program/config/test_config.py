import dataclasses
import os
import subprocess
import sys

import pytest
from small import write_config

from train.config.config import Config
from train.config.presets import PRESETS, command_of, from_values
from train.data.description import DataDescription
from train.errors import UserError
from train.run import Run, config_json
from train.training.train_run import count_steps


def test_defaults_are_the_official_ones():
    config = from_values({})
    official = dict(
        nr_resnet=5,
        nr_filters=160,
        nr_logistic_mix=10,
        resnet_nonlinearity="concat_elu",
        learning_rate=0.001,
        lr_decay=0.999995,
        batch_size=16,
        init_batch_size=16,
        dropout_p=0.5,
        max_epochs=5000,
        polyak_decay=0.9995,
        save_interval=20,
        seed=1,
    )
    assert {key: getattr(config, key) for key in official} == official


def test_flags_by_hand_win_over_the_preset():
    config = from_values({"config": "tiny", "nr_filters": 7})
    assert config.nr_filters == 7
    assert config.nr_resnet == 1 and config.nr_logistic_mix == 5
    assert config.batch_size == PRESETS["tiny"].changes["batch_size"]


def test_explicit_max_steps_wins_over_the_presets_epochs():
    config = from_values({"config": "tiny", "max_steps": 10_000})
    assert count_steps(config, 46) == 10_000
    assert count_steps(from_values({"config": "tiny"}), 46) == 20 * 46
    both = from_values({"config": "tiny", "max_steps": 10_000, "max_epochs": 3})
    assert count_steps(both, 46) == 3 * 46
    with pytest.raises(UserError, match="max_epochs=0: needs --max_steps"):
        from_values({"max_epochs": 0})


def test_every_field_has_help_and_every_preset_valid_fields():
    names = {field.name for field in dataclasses.fields(Config)}
    assert all(field.metadata["help"] for field in dataclasses.fields(Config))
    for preset in PRESETS.values():
        assert set(preset.changes) <= names


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"dataset": "cifar10", "config": "tiny", "max_steps": 7, "workdir": "x y"},
        {"model": "gated_pixelcnn", "nr_filters": 3, "class_conditional": True},
        {"config": "small", "remat": True, "learning_rate": 1e-5, "train_split": "train[:90%]"},
    ],
)
def test_the_command_of_a_configuration_gives_it_again(values):
    config = from_values(values)
    kinds = {field.name: field.type for field in dataclasses.fields(Config)}
    given = {}
    for argument in command_of(config):
        name, value = argument.removeprefix("--").split("=", 1)
        given[name] = value == "true" if kinds[name] is bool else kinds[name](value)
    assert from_values(given) == config
    assert set(values) <= set(given) and len(given) <= len(values) + 2  # dataset, workdir


def test_every_condition_has_a_default_folder_of_its_own():
    model = {"model": "gated_pixelcnn", "dataset": "mnist", "config": "tiny"}
    conditions = [{}, {"class_conditional": True}, {"condition": "grey"}, {"condition": "small:4"}]
    folders = [from_values(model | values).workdir for values in conditions]
    assert folders[0] == os.path.join("runs", "mnist-gated_pixelcnn-tiny")
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"config": "huge"}, "--config=huge"),
        ({"dropout_p": 1.0}, "--dropout_p=1.0"),
        ({"nr_resnet": 0}, "--nr_resnet=0"),
        ({"learning_rate": -1.0}, "--learning_rate=-1.0"),
        ({"resnet_nonlinearity": "gelu"}, "--resnet_nonlinearity=gelu"),
        ({"eval_interval": -1}, "--eval_interval=-1"),
        ({"polyak_decay": 1.5}, "--polyak_decay=1.5"),
    ],
)
def test_bad_values_are_named(values, message):
    with pytest.raises(UserError, match=message.removeprefix("--")):
        from_values(values)


def test_saved_and_loaded(tmp_path):
    config = from_values({"workdir": str(tmp_path), "nr_filters": 3})
    data = DataDescription((8, 8, 1), 17, None)
    write_config(config, data)
    saved = Run.open(str(tmp_path)).saved
    assert saved[:3] == (config, data, config.batch_size)
    config_json.check_config_matches(saved, config.replace(max_epochs=7, data_dir="elsewhere"))
    with pytest.raises(UserError, match="nr_filters is 3 there, 4 here"):
        config_json.check_config_matches(saved, config.replace(nr_filters=4))
    with pytest.raises(UserError, match="class_conditional"):
        config_json.check_config_matches(saved, config.replace(class_conditional=True))
    (tmp_path / "config.json").write_text('{"nr_fil')
    with pytest.raises(UserError, match="not a configuration"):
        Run.open(tmp_path)


def test_help_shows_flags_and_what_the_presets_cost():
    command = [sys.executable, "-m", "train.main", "--help"]
    text = subprocess.run(command, capture_output=True, text=True).stdout
    text = " ".join(text.split())
    for part in ("--nr_logistic_mix", "--polyak_decay", "53.7 M weights", "3.84 bits/dim"):
        assert part in text


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--config=huge"], "error: --config=huge: must be one of tiny, small, paper"),
        (["stray"], "unknown argument 'stray'"),
        (["--nr_filters=many"], "nr_filters"),
        (["--model=row_lstm", "--nr_logistic_mix=5"], "--nr_logistic_mix=5"),
        (["--model=vq_vae", "--num_stages=2"], "--num_stages=2"),
        (["--model=vq_vae", "--nr_embeddings=1"], "warning: --nr_embeddings is deprecated, use"),
        (["--model=vq_vae", "--nr_embeddings=1"], "--num_embeddings=1: must be from 2"),
    ],
)
def test_bad_flags_end_before_tensorflow_is_imported(arguments, message):
    command = [sys.executable, "-X", "importtime", "-m", "train.main", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and message in result.stderr
    imported = {line.split("|")[-1].strip() for line in result.stderr.splitlines()}
    assert "train.config.config" in imported and "tensorflow" not in imported
    assert "Traceback" not in result.stderr
