"""`train.sample`: where it writes, and what it refuses before it starts."""

import os

import numpy as np
import pytest
from calls import call, refusal
from full_disk import largest_file
from small import write_config

import train.evaluate
import train.sample
from train.config.models import make_model
from train.config.presets import from_values
from train.data.description import DataDescription
from train.data.splits import Split
from train.errors import UserError
from train.run.checkpoints import Checkpoints
from train.sample import choose_path
from train.sampling.samples import MAX_BYTES, check_memory

SIZES = dict(config="tiny", model="gated_pixelcnn", nr_resnet=1, nr_filters=4, num_head_filters=4)
DATA = DataDescription((8, 8, 1), 17, 10)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a conditional model, untrained, at step 0."""
    workdir = tmp_path_factory.mktemp("run")
    config = from_values(SIZES | {"workdir": str(workdir), "class_conditional": True})
    write_config(config, DATA)
    models = make_model(config, DATA), make_model(config, DATA)
    Checkpoints(str(workdir), *models).save(0)
    return workdir


def test_another_request_gets_another_name(run):
    small = [f"--workdir={run}", "--num_samples=2"]
    for flag in ([], ["--seed=2"], ["--label=3"], ["--temperature=0.5"], ["--noaveraged"]):
        call(train.sample, *small, *flag)
    call(train.sample, *small, "--complete=left", "--num_completions=1")
    assert {name for name in os.listdir(run / "samples") if name.endswith(".npz")} == {
        "sample_0000000_n2.npz",
        "sample_0000000_n2_seed2.npz",
        "sample_0000000_n2_label3.npz",
        "sample_0000000_n2_temperature0.5.npz",
        "sample_0000000_n2_raw.npz",
        "completion_0000000_left_n2_x1.npz",
    }


def test_samples_of_another_size(run, tmp_path):
    sizes = ["--height=5", "--width=12"]
    call(train.sample, f"--workdir={run}", "--num_samples=2", f"--output={tmp_path}/", *sizes)
    with np.load(tmp_path / "sample_0000000_n2_height5_width12.npz") as file:
        assert file["images"].shape == (2, 5, 12, 1) and file["images"].max() < 17


def test_where_to_write(tmp_path):
    folder = str(tmp_path)
    assert choose_path("", "runs/x", "sample") == "runs/x/samples/sample"
    assert choose_path(folder, "w", "sample") == f"{folder}/sample"
    assert choose_path("new/", "w", "sample") == "new/sample"
    for output in ("pic", "pic.png", "pic.npz", "pic.PNG"):
        assert choose_path(output, "w", "sample") == "pic"
    assert choose_path("a.b", "w", "sample") == "a.b"


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--height=-1", "--height=-1"),
        ("--width=100000", "--width=100000: must be from 1 to 16384"),
        ("--temperature=inf", "--temperature=inf: must be a number above 0"),
        ("--temperature=nan", "--temperature=nan: must be a number above 0"),
        ("--temperature=-1", "--temperature=-1.0: must be a number above 0"),
        ("--num_samples=0", "--num_samples=0: must be at least 1"),
        ("--seed=-1", "--seed=-1"),
        (f"--seed={2**64}", "--seed=18446744073709551616"),
        ("--label=10", "--label=10: must be from 0 to 9"),
        ("--label=-1", "--label=-1: must be from 0 to 9"),
        ("--num_samples=100000000", "at most 4,294,967,296 bytes"),
        ("--workdir=", "--workdir is missing"),
        ("--num_completions=2", "--num_completions=2: is for --complete, and for runs with"),
        ("--num_samples=2 --interpolate=a,b", "--num_samples=2: has no effect with --interpolate"),
        ("--num_completions=2 --like=a", "--num_completions=2: has no effect with --like"),
    ],
)
def test_refused(run, flag, message):
    assert message in refusal(train.sample, f"--workdir={run}", *flag.split())


def test_the_memory_asked_for_is_told_in_bytes(run):
    model = make_model(from_values(SIZES), DATA._replace(image_shape=(32, 32, 3)))
    check_memory(model, 10_000, "")
    with pytest.raises(UserError, match=r"x=9: needs [\d,]+ bytes .* images. are allowed") as error:
        check_memory(model, MAX_BYTES // (32 * 32 * 3), "--x=9")
    assert f"{MAX_BYTES:,} bytes" in str(error.value)
    flags = ["--complete=top", "--num_samples=300", "--num_completions=9000000"]
    message = refusal(train.sample, f"--workdir={run}", *flags)
    assert message.startswith("--num_samples=300 --num_completions=9000000: needs")


def test_no_room_names_the_file(run, tmp_path):
    with largest_file(100):
        message = refusal(train.sample, f"--workdir={run}", f"--output={tmp_path}/x")
    assert message == f"cannot write {tmp_path}/x: File too large"
    assert os.listdir(tmp_path) == []


def test_a_batch_beyond_the_images_is_not_filled_up(run, monkeypatch):
    sizes = []
    original = Split.in_order

    def in_order(self, batch_size):
        sizes.append(batch_size)
        return original(self, batch_size)

    monkeypatch.setattr(Split, "in_order", in_order)
    text = call(train.evaluate, f"--workdir={run}", "--batch_size=100000")
    assert sizes == [300, 300] and "averaged weights: " in text


def test_a_folder_that_cannot_be_written_is_told_before_sampling(run, tmp_path):
    (tmp_path / "file").write_text("")
    message = refusal(train.sample, f"--workdir={run}", f"--output={tmp_path}/file/x")
    assert message.startswith(f"cannot write {tmp_path}/file/x: ")
