"""`train.import_official` and `train.export`: what they refuse, and full disks."""

import os
import resource

import pytest
from calls import call, refusal
from parity_data import DIRECTORY

import train.export
import train.import_official
from train.export import MAX_VERSION, choose_version

CHECKPOINT = f"--checkpoint={DIRECTORY}/official_checkpoint/params_cifar.ckpt"


@pytest.mark.parametrize(
    "dataset, message",
    [
        ("digits", "has images with image_shape (8, 8, 1), but --checkpoint="),
        ("mnist", "has images with image_shape (28, 28, 1), but --checkpoint="),
        ("cifar", "--dataset=cifar: no such data set; did you mean cifar10"),
    ],
)
def test_a_data_set_of_other_images_is_refused_by_name(tmp_path, dataset, message):
    workdir = f"--workdir={tmp_path}/run"
    assert message in refusal(train.import_official, CHECKPOINT, workdir, f"--dataset={dataset}")
    assert os.listdir(tmp_path) == []


def test_a_file_of_the_checkpoint_and_a_full_disk(tmp_path):
    workdir = f"--workdir={tmp_path}/run 1"
    call(train.import_official, CHECKPOINT + ".index", workdir)
    assert "already holds a run" in refusal(train.import_official, CHECKPOINT, workdir)
    out = tmp_path / "out"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        message = refusal(train.import_official, workdir, f"--export_official={out}/params.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert message.startswith(f"cannot write --export_official={out}/params.ckpt: ")
    assert os.listdir(out) == []


def test_an_import_that_fails_leaves_no_run(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        message = refusal(train.import_official, CHECKPOINT, f"--workdir={tmp_path}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert message.startswith("cannot write the checkpoint of step 19")
    assert os.listdir(tmp_path) == ["checkpoints"] and os.listdir(tmp_path / "checkpoints") == []


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--export_official=out/"], "give the beginning of the files' names"),
        (["--checkpoint=x", "--image_size=0"], "--image_size=0"),
        ([], "give either --checkpoint"),
    ],
)
def test_wrong_flags(flags, message):
    assert message in refusal(train.import_official, "--workdir=x", *flags)


def test_versions_are_those_that_a_server_can_count(tmp_path):
    for version in (0, -1, MAX_VERSION + 1):
        message = refusal(train.export, f"--output={tmp_path}/m", f"--version={version}")
        assert message == f"--version={version}: must be at least 1 and at most 9223372036854775807"
    (tmp_path / "m" / str(MAX_VERSION)).mkdir(parents=True)
    assert f"--version={MAX_VERSION + 1}: must be" in refusal(
        train.export, f"--output={tmp_path}/m"
    )
    assert choose_version(str(tmp_path / "m"), 5) == 5


@pytest.mark.parametrize("output", ["models/7", "/"])
def test_an_output_that_names_no_model(output):
    message = refusal(train.export, f"--output={output}", "--workdir=x")
    assert message == f"--output={output}: give the model's folder; versions are made in it"


def test_a_model_in_a_folder_that_cannot_be_read_is_not_written(tmp_path):
    message = refusal(train.export, f"--output={tmp_path}/m[1]", "--workdir=x")
    assert "cannot load a model from a path with" in message and os.listdir(tmp_path) == []
