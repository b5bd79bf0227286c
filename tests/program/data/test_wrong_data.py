"""Data that cannot be had or is not what it should be."""

import numpy as np
import pytest
import tensorflow as tf
from small import random_levels

from train.config.models import make_model
from train.config.presets import from_values
from train.data import tfds_data
from train.data.description import DataDescription
from train.data.load import describe, load
from train.errors import UserError

IMAGES = random_levels(30, 8, 8, 1)
LABELS = np.zeros([30], np.int64)


def npz(tmp_path, **arrays):
    path = str(tmp_path / "set.npz")
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("num_levels", [17.5, 17.0, "17", [17, 18], True, np.nan])
def test_num_levels_must_be_an_integer(tmp_path, num_levels):
    path = npz(tmp_path, x_train=IMAGES, x_test=IMAGES, num_levels=num_levels)
    with pytest.raises(UserError, match="num_levels is .*, must be one integer from 2"):
        load(path)


@pytest.mark.parametrize("shape", [(0, 8, 8, 1), (30, 0, 8, 1), (30, 8, 8, 0)])
def test_empty_images_are_told(tmp_path, shape):
    images = np.zeros(shape, np.uint8)
    with pytest.raises(UserError, match="x_train is uint8 .*, not empty"):
        load(npz(tmp_path, x_train=images, x_test=images))


def test_an_npy_file_is_told(tmp_path):
    path = str(tmp_path / "set.npz")
    with open(path, "wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(UserError, match=r"it is one array, an .npy file; write np.savez"):
        load(path)


@pytest.mark.parametrize("name", ["y_train", "y_test"])
def test_labels_of_one_split_alone_are_named(tmp_path, name):
    dataset = load(npz(tmp_path, x_train=IMAGES, x_test=IMAGES, **{name: LABELS}))
    config = from_values({"config": "tiny", "class_conditional": True, "dataset": "set.npz"})
    with pytest.raises(UserError, match=f"no labels .it has {name} alone of y_train and y_test"):
        make_model(config, dataset)


@pytest.mark.parametrize(
    "content, reason",
    [(b"", "empty"), (b"no image" * 9, "by its content it is none of"), (None, "truncated")],
)
def test_a_broken_image_is_named_with_the_decoders_reason(tmp_path, content, reason):
    picture = tf.io.encode_png(np.zeros([32, 32, 3], np.uint8)).numpy()
    for number in range(20):
        (tmp_path / f"{number}.png").write_bytes(picture)
    (tmp_path / "3.png").write_bytes(picture[: len(picture) // 2] if content is None else content)
    with pytest.raises(UserError, match=r"3.png: not a readable image \(.*" + reason) as error:
        load(f"folder:{tmp_path}")
    assert "function_node" not in str(error.value)


@pytest.mark.parametrize("name", ["cifar10:9.9.9", "cifar10/nope", "mnist:", "cifar10:a", "cifar1"])
def test_a_tfds_name_that_is_none(name):
    for function in (load, describe):
        with pytest.raises(UserError, match=f"dataset={name}: .") as error:
            function(name)
        assert "\n" not in str(error.value)


def test_offline_advice_names_the_data_folder(tmp_path, monkeypatch):
    """Also where the folder of the data has the name of the data set."""
    monkeypatch.setattr(tfds_data, "_network_problem", lambda urls: "no server answers")
    folder = tmp_path / "mnist" / "data"
    with pytest.raises(UserError, match="no server answers") as error:
        load("mnist", str(folder))
    assert f"into {folder}, or put" in str(error.value)
    assert f"into {folder}/downloads/manual" in str(error.value)


def test_descriptions_need_no_data(tmp_path):
    assert describe("cifar10", str(tmp_path)) == DataDescription((32, 32, 3), 256, 10)
    assert describe("digits") == DataDescription((8, 8, 1), 17, 10)
    assert describe(npz(tmp_path, x_train=IMAGES, x_test=IMAGES)) == DataDescription(
        (8, 8, 1), 256, None
    )
