"""Runs with --condition through the whole program: scores, samples, completions, export, errors."""

import numpy as np
import pytest
import tensorflow as tf
from calls import call, refusal
from PIL import Image
from serving_stand_in import SessionModel
from small import config_of, load_run, random_levels, run_training

import train.compress
import train.evaluate
import train.sample
from pixelcnn_tf import sampling
from pixelcnn_tf.levels import levels_to_input
from train.errors import UserError
from train.export import export
from train.main import train as train_run
from train.sampling.conditioned import conditions_of

SIZES = dict(config="tiny", nr_resnet=1, nr_filters=6, batch_size=20, eval_interval=0)
SIZES |= dict(max_steps=3, init_batch_size=20)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A colouriser of images of 6x5, and the data set."""
    folder = tmp_path_factory.mktemp("grey")
    images = random_levels(60, 6, 5, 3, seed=1)
    np.savez(folder / "data.npz", x_train=images[:50], x_test=images[50:])
    values = dict(dataset=f"{folder}/data.npz", model="gated_pixelcnn", num_head_filters=6)
    values |= dict(condition="grey", num_samples=8)
    run_training(config_of(folder / "run", SIZES | values))
    return folder


def test_scores_are_those_given_the_condition(run):
    model = load_run(str(run / "run"))[2]
    with np.load(run / "data.npz") as file:
        values = levels_to_input(file["x_test"], 256)
    nats = model.log_prob(values, model.compute_condition(values)).numpy()
    told = call(train.evaluate, f"--workdir={run}/run")
    assert f"averaged weights: {-nats.mean():.3f} nats/image" in told
    assert "given the condition grey: not comparable" in told


def test_pictures_of_a_training(run):
    model = load_run(str(run / "run"))[2]
    with np.load(run / "run" / "samples" / "step_0000003.npz") as file:
        assert file["images"].shape == (8, 6, 5, 3) and file["originals"].shape == (2, 6, 5, 3)
        np.testing.assert_array_equal(file["conditions"], conditions_of(model, file["originals"]))
        maps = levels_to_input(file["conditions"].repeat(4, axis=0), 256)
        drawn = sampling.sample(model, 8, seed=1, labels=maps)
        np.testing.assert_array_equal(levels_to_input(file["images"], 256), drawn)


def test_images_given_conditions_of_files(run, tmp_path):
    (tmp_path / "files").mkdir()
    colour = random_levels(6, 5, 3, seed=2)
    Image.fromarray(colour).save(tmp_path / "files" / "1.png")
    Image.fromarray(colour).convert("L").save(tmp_path / "files" / "2.png")
    flags = [f"--workdir={run}/run", f"--condition_images={tmp_path}/files", "--num_completions=2"]
    call(train.sample, *flags, f"--output={tmp_path}/drawn")
    with np.load(tmp_path / "drawn.npz") as file:
        assert file["images"].shape == (4, 6, 5, 3) and file["conditions"].shape == (2, 6, 5, 1)
        one, other = file["conditions"].astype(int)
        assert np.abs(one - other).max() <= 1 and "originals" not in file
    whole = [*flags[:1], f"--condition_images={tmp_path}/files/1.png", "--num_completions=2"]
    call(train.sample, *whole, f"--output={tmp_path}/whole")
    with np.load(tmp_path / "whole.npz") as file:
        np.testing.assert_array_equal(file["originals"], [colour])
    call(train.sample, f"--workdir={run}/run", "--num_samples=2", f"--output={tmp_path}/test")
    call(train.sample, f"--workdir={run}/run", "--complete=top", f"--output={tmp_path}/completed")
    Image.fromarray(colour[:5]).save(tmp_path / "files" / "3.png")
    text = refusal(train.sample, *flags)
    assert "3.png is 5x5 with 3 channels, must be 6x5 with 1 channel (--condition=grey) or" in text


def test_conditions_that_are_none(run, tmp_path):
    np.savez(tmp_path / "far.npz", images=np.full([1, 6, 5, 1], 300), num_levels=256)
    given = refusal(train.sample, f"--workdir={run}/run", f"--condition_images={tmp_path}/far.npz")
    assert "images/0: levels must be integers in [0, 255], got 300 to 300" in given
    clear = np.dstack([random_levels(6, 5, 3), np.full([6, 5, 1], 128, np.uint8)])
    Image.fromarray(clear).save(tmp_path / "clear.png")
    flags = [f"--workdir={run}/run", f"--condition_images={tmp_path}/clear.png"]
    assert "--alpha=drop leaves it out" in refusal(train.sample, *flags)
    call(train.sample, *flags, "--alpha=white", "--num_completions=1", f"--output={tmp_path}/drawn")
    with np.load(tmp_path / "drawn.npz") as file:
        assert file["conditions"].min() >= 127  # half of it is white
    assert "--alpha=white: is for the images of" in refusal(
        train.sample, f"--workdir={run}/run", "--alpha=white"
    )


@pytest.mark.slow
def test_exported(run):
    model = load_run(str(run / "run"))[2]
    served = SessionModel(export(str(run / "run"), str(run / "models" / "colours")))
    seeds = np.array([[1, 2], [-3, 4]], np.int32)
    given = random_levels(2, 6, 5, 1, seed=3)
    drawn = served("sample", {"seeds": seeds, "condition": given})["images"]
    values = sampling.sample(model, 2, seed=seeds, labels=levels_to_input(given, 256))
    np.testing.assert_array_equal(levels_to_input(drawn, 256), values)
    images = random_levels(2, 6, 5, 3, seed=4)
    nats = model.log_prob(levels_to_input(images, 256))
    np.testing.assert_allclose(served("score", {"images": images})["log_prob"], nats, rtol=1e-5)
    mask = np.zeros([2, 6, 5], np.uint8)
    mask[:, :3] = 1
    request = {"images": images, "mask": mask, "seeds": seeds, "condition": given}
    completed = served("complete", request)["images"]
    np.testing.assert_array_equal(completed[:, :3], images[:, :3])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"condition: must have the shape"):
        served("sample", {"seeds": seeds, "condition": given[:, :3]})


@pytest.mark.slow
def test_super_resolution_by_pixelcnn_pp(tmp_path):
    values = dict(condition="small:4", nr_logistic_mix=2, num_samples=2, num_stages=1)
    run_training(config_of(tmp_path / "run", SIZES | values))
    with np.load(tmp_path / "run" / "samples" / "step_0000003.npz") as file:
        assert file["conditions"].shape == (1, 2, 2, 1) and len(file["images"]) == 2
        blocks = file["originals"].reshape(1, 2, 4, 2, 4, 1).mean(axis=(2, 4))
        assert np.abs(file["conditions"] - blocks).max() <= 0.51


def test_refused(run, tmp_path):
    with pytest.raises(UserError, match="condition='grey': images must have 3 channels, got 1"):
        train_run(config_of(tmp_path / "x", SIZES, condition="grey"))
    flags = [f"--images={run}/data.npz", f"--output={tmp_path}/x.pcnn", f"--workdir={run}/run"]
    assert "must have condition=None, got 'grey'" in refusal(train.compress, *flags)
    size = [f"--workdir={run}/run", "--height=9"]
    assert "need --condition_images of that size" in refusal(train.sample, *size)
    complete = [f"--workdir={run}/run", "--complete=top", "--condition_images=x"]
    assert "excludes --condition_images=x" in refusal(train.sample, *complete)
