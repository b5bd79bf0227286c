"""`train.compress` and `train.decompress`: what comes back, and what is refused."""

import os

import numpy as np
import pytest
from calls import call, refusal
from PIL import Image
from small import random_levels, write_config

import train.compress
import train.decompress
from pixelcnn_tf.codec import Codec
from train.compression import codec
from train.config.models import make_model
from train.config.presets import from_values
from train.data.description import DataDescription
from train.run.checkpoints import Checkpoints

SIZES = dict(config="tiny", nr_resnet=1, nr_filters=4)
GATED = dict(model="gated_pixelcnn", num_head_filters=4)


def make_run(workdir, channels=1, num_levels=256, **changes):
    """A run at step 0, of Gated PixelCNN if `changes` name no other model."""
    changes = changes if "model" in changes else GATED | changes
    data = DataDescription((4, 5, channels), num_levels, 3)
    os.makedirs(workdir, exist_ok=True)
    config = from_values(SIZES | {"workdir": str(workdir)} | changes)
    write_config(config, data)
    models = make_model(config, data), make_model(config, data)
    Checkpoints(str(workdir), *models).save(0)
    return workdir


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("conditional"), 3, 7, class_conditional=True)


@pytest.fixture
def folder(tmp_path):
    """Images of two sizes, below each other."""
    images = tmp_path / "images"
    for number, shape in enumerate([(3, 4), (2, 6), (3, 4)]):
        path = images / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random_levels(*shape, seed=number)).save(path)
    return images


def files(root):
    return {
        os.path.relpath(os.path.join(where, name), root): np.asarray(
            Image.open(os.path.join(where, name))
        )
        for where, _, names in os.walk(root)
        for name in names
    }


def test_a_folder_of_mixed_sizes_comes_back(run, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(codec, "HELD", 20)  # bytes: sizes wait for each other no longer
    packed, output = tmp_path / "x.pcnn", tmp_path / "out"
    text = call(train.compress, f"--workdir={run}", f"--images={folder}", f"--output={packed}")
    assert f"{packed}: 3 images in {packed.stat().st_size:,} bytes, " in text
    arguments = [f"--workdir={run}", f"--input={packed}", f"--output={output}"]
    assert f"{output}: 3 images, in " in call(train.decompress, *arguments, "--batch_size=1")
    expected, found = files(folder), files(output)
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(expected[name], found[name])
    assert sorted(os.listdir(tmp_path)) == ["images", "out", "x.pcnn"]
    assert "must be new, or an empty folder" in refusal(train.decompress, *arguments)
    arguments[-1] = f"--output={tmp_path}/x.npz"
    monkeypatch.setattr(Codec, "read", None)  # it is told before anything is decoded
    assert "differ in size; give a folder" in refusal(train.decompress, *arguments)


def test_labels_and_levels_come_back_as_npz(conditional, tmp_path):
    images, labels = random_levels(5, 4, 5, 3, num_levels=7), np.array([2, 0, 1, 1, 2])
    np.savez(tmp_path / "in.npz", images=images, labels=labels, num_levels=7)
    packed = tmp_path / "x.pcnn"
    arguments = [f"--workdir={conditional}", f"--images={tmp_path}/in.npz", f"--output={packed}"]
    call(train.compress, *arguments)
    arguments = [f"--workdir={conditional}", f"--input={packed}"]
    call(train.decompress, *arguments, f"--output={tmp_path}/out.npz")
    with np.load(tmp_path / "out.npz") as file:
        np.testing.assert_array_equal(file["images"], images)
        np.testing.assert_array_equal(file["labels"], labels)
        assert file["num_levels"] == 7
    message = refusal(train.decompress, *arguments, f"--output={tmp_path}/folder")
    assert "images of 7 levels and 3 channels do not fit into PNG" in message
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("num_levels", [pytest.param(2, marks=pytest.mark.slow), 65536])
def test_png_of_other_levels(num_levels, tmp_path):
    sizes = dict(model="pixelcnn_pp", nr_logistic_mix=1, num_stages=1)
    run = make_run(tmp_path / "run", 1, num_levels, **sizes)
    images = random_levels(2, 3, 2, 1, num_levels=num_levels)
    np.savez(tmp_path / "in.npz", images=images, num_levels=num_levels)
    packed, output = tmp_path / "x.pcnn", tmp_path / "out"
    call(train.compress, f"--workdir={run}", f"--images={tmp_path}/in.npz", f"--output={packed}")
    call(train.decompress, f"--workdir={run}", f"--input={packed}", f"--output={output}")
    again = tmp_path / "again.pcnn"  # the PNG files are of the run's levels
    call(train.compress, f"--workdir={run}", f"--images={output}", f"--output={again}")
    found = files(output)
    assert sorted(found) == ["0000000.png", "0000001.png"]
    np.testing.assert_array_equal(found["0000001.png"], images[1, ..., 0])


def test_damaged_files_are_told_apart(run, conditional, folder, tmp_path):
    packed = tmp_path / "x.pcnn"
    call(train.compress, f"--workdir={run}", f"--images={folder}", f"--output={packed}")
    data, output = packed.read_bytes(), tmp_path / "out"

    def told(data, workdir=run):
        (tmp_path / "bad.pcnn").write_bytes(data)
        arguments = [f"--workdir={workdir}", f"--input={tmp_path}/bad.pcnn", f"--output={output}"]
        message = refusal(train.decompress, *arguments)
        assert message.startswith(f"--input={tmp_path}/bad.pcnn: ") and not output.exists()
        return message.split(": ", 1)[1]

    assert told(data[:-1]).startswith("truncated")
    assert told(data, conditional).startswith("of another model")
    assert sorted(os.listdir(tmp_path)) == ["bad.pcnn", "images", "x.pcnn"]


def test_names_that_lead_elsewhere(tmp_path):
    for name in ("../x.png", "/x.png", "a/../../x.png", ".", ""):
        with pytest.raises(codec.UserError, match="lies outside"):
            codec._png_path(str(tmp_path), name)
    assert codec._png_path(str(tmp_path), "a/b.jpg") == f"{tmp_path}/a/b.jpg.png"
    (tmp_path / "c.png").write_text("")
    assert codec._png_path(str(tmp_path), "c.png") == f"{tmp_path}/c_.png"


def test_refused(run, folder, tmp_path):
    def compress(*arguments):
        defaults = [f"--workdir={run}", f"--images={folder}", f"--output={tmp_path}/x.pcnn"]
        return refusal(train.compress, *defaults, *arguments)

    assert compress("--images=") == "--images is missing: what to compress"
    assert compress("--output=") == "--output is missing: the file to write"
    assert "--batch_size=-1" in compress("--batch_size=-1")
    assert compress("--label=1") == "--label=1: the model is not class-conditional"
    assert compress(f"--output={folder}").startswith(f"cannot write --output={folder}: ")
    assert "no such file" in compress("--images=/nowhere/x.png")
    assert "no such file" in refusal(
        train.decompress, f"--workdir={run}", "--input=/nowhere", f"--output={tmp_path}/o"
    )


def test_images_of_another_kind_are_refused(conditional, tmp_path):
    def compress(*arguments):
        defaults = [f"--workdir={conditional}", f"--output={tmp_path}/x.pcnn"]
        return refusal(train.compress, *defaults, *arguments)

    Image.fromarray(random_levels(2, 2)).save(tmp_path / "grey.png")
    assert "the image has 1 channels, the run expects 3" in compress(
        f"--images={tmp_path}/grey.png"
    )
    Image.fromarray(random_levels(2, 2, 3)).save(tmp_path / "rgb.png")
    message = compress(f"--images={tmp_path}/rgb.png")
    assert "has 256 levels per channel, the run expects 7" in message
    npz = f"--images={tmp_path}/x.npz"
    np.savez(tmp_path / "x.npz", images=np.full([1, 2, 2, 3], 7), num_levels=7)
    assert "has no label" in compress(npz)
    assert compress(npz, "--label=3").endswith("has label 3, must be from 0 to 2")
    assert "must be levels in 0 ... 6" in compress(npz, "--label=2")
    assert not (tmp_path / "x.pcnn").exists()


def test_energy_distance_has_no_likelihood(tmp_path, folder):
    run = make_run(tmp_path / "run", model="pixelcnn_pp", energy_distance=True)
    arguments = [f"--workdir={run}", f"--images={folder}", f"--output={tmp_path}/x.pcnn"]
    assert "got EnergyDistance" in refusal(train.compress, *arguments)
