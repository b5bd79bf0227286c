"""The levels that data has, labels with gaps, and which images are trained on and scored."""

import os

import numpy as np
import pytest
from small import random_levels, write_config

from train.config.models import make_model
from train.config.presets import from_values
from train.data import tfds_data
from train.data.decode import resize
from train.data.description import DataDescription
from train.data.image_sources import Image, open_images
from train.data.load import describe, load, load_configured
from train.data.options import DataOptions
from train.data.splits import PackedSplit, StreamedSplit
from train.data.tfds_data import load_tfds
from train.errors import UserError
from train.run import Run
from train.run.image_adapter import ImageAdapter

IMAGES = random_levels(40, 8, 8, 1)
BINARY = random_levels(40, 8, 8, 1, num_levels=2)


def npz(tmp_path, x_train=IMAGES, x_test=IMAGES[:10], **arrays):
    path = str(tmp_path / "set.npz")
    if x_test is not None:
        arrays["x_test"] = x_test
    np.savez(path, x_train=x_train, **arrays)
    return path


# Levels


def test_constant_images_are_refused(tmp_path):
    path = npz(tmp_path, np.full([9, 8, 8, 1], 7, np.uint8))
    with pytest.raises(UserError, match="every training image is the constant"):
        load(path)


def quantized(path, num_levels):
    return load(path, options=DataOptions(quantize=num_levels))


def declared(path, num_levels):
    return load(path, options=DataOptions(num_levels=num_levels))


def test_quantizing_to_a_constant_is_rejected(tmp_path):
    dark = random_levels(9, 8, 8, 1, num_levels=100)
    with pytest.raises(UserError, match="quantize=2: makes .* they hold 0 to 99 of 256"):
        quantized(npz(tmp_path, dark), 2)


def test_few_levels_of_256_are_a_warning_and_can_be_declared(tmp_path):
    path = npz(tmp_path, BINARY, BINARY)
    dataset = load(path)
    assert dataset.num_levels == 256
    assert "no value is above 1" in dataset.warnings[0]
    assert "--num_levels=2" in dataset.warnings[0] and "num_levels=2" in dataset.warnings[0]
    two, four = declared(path, 2), declared(path, 4)
    assert two.num_levels == 2 and two.warnings == () and "levels 0 to 1" in two.note
    np.testing.assert_array_equal(two.train.images, BINARY)
    assert four.num_levels == 4
    np.testing.assert_array_equal(four.train.images, BINARY)
    known = load(npz(tmp_path, BINARY, BINARY, num_levels=2))
    assert known.num_levels == 2 and known.warnings == ()
    assert load(npz(tmp_path, BINARY, BINARY, num_levels=256)).warnings == ()
    assert load(npz(tmp_path, BINARY, IMAGES)).warnings == ()


def test_declared_levels_that_the_data_exceed_are_rejected(tmp_path):
    path = npz(tmp_path, IMAGES, IMAGES)
    with pytest.raises(UserError, match="num_levels=16: declares levels 0 to 15, but"):
        declared(path, 16)
    known = npz(tmp_path, BINARY, BINARY, num_levels=2)
    with pytest.raises(UserError, match="num_levels=4: .* has 2 levels"):
        declared(known, 4)


def test_other_images_are_read_with_the_declared_levels(tmp_path):
    path = npz(tmp_path, BINARY, BINARY)
    config = from_values(dict(config="tiny", dataset=path, num_levels=2, workdir=str(tmp_path)))
    dataset = load_configured(config)
    write_config(config, DataDescription(dataset.image_shape, 2, dataset.num_classes))
    adapt = ImageAdapter(Run.open(tmp_path))
    for what in (path, f"{path}:test"):
        found = [adapt(image, "--images").levels for image in open_images("images", what).read()]
        np.testing.assert_array_equal(found, dataset.eval.images)
    assert "taken as levels 0 to 1" in next(iter(adapt.conversions))
    bright = Image("bright", np.full([8, 8, 1], 200, np.uint8), 256)
    with pytest.raises(UserError, match="bright has 256 levels per channel, the run in"):
        adapt(bright, "--images")


def test_a_split_of_an_npz_by_any_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.path.basename(npz(tmp_path, BINARY, BINARY))
    for path in (name, f"./{name}", f"{tmp_path}/{name}"):
        assert open_images("images", f"{path}:train").count == len(BINARY)
    with pytest.raises(UserError, match="no such file"):
        open_images("images", "./gone.npz:train")


# Labels


def test_classes_without_training_images_are_named(tmp_path):
    labels = np.where(np.arange(40) % 2, 0, 9000)
    path = npz(tmp_path, y_train=labels, y_test=labels[:10])
    dataset = load(path)
    assert dataset.num_classes == 9001
    assert dataset.warnings == (
        f"--dataset={path}: 8,999 of 9,001 classes have no training image: 1 to 8999",
    )
    labels = np.arange(40) % 3
    assert load(npz(tmp_path, y_train=labels, y_test=labels[:10])).warnings == ()


# Splits


def with_splits(tmp_path, **options):
    path = npz(tmp_path, x_valid=IMAGES[10:15], y_train=np.arange(40) % 3)
    return load(path, options=DataOptions(**options))


def test_splits_of_an_npz(tmp_path):
    dataset = with_splits(tmp_path)
    assert dataset.eval_name == "test" and dataset.note == ""
    np.testing.assert_array_equal(dataset.validation.images, IMAGES[10:15])
    dataset = with_splits(tmp_path, eval_split="validation")
    np.testing.assert_array_equal(dataset.eval.images, IMAGES[10:15])
    assert dataset.eval_name == "validation"
    dataset = with_splits(tmp_path, train_split="train[:75%]", eval_split="train[75%:]")
    np.testing.assert_array_equal(dataset.train.images, IMAGES[:30])
    np.testing.assert_array_equal(dataset.eval.images, IMAGES[30:])
    assert dataset.num_classes == 3 and dataset.note == ""  # x_test, without labels, is not used
    np.testing.assert_array_equal(dataset.eval.labels, np.arange(30, 40) % 3)
    dataset = with_splits(tmp_path, train_split="train[4:6]+validation")
    np.testing.assert_array_equal(dataset.train.images, [*IMAGES[4:6], *IMAGES[10:15]])
    assert dataset.num_classes is None
    dataset = with_splits(tmp_path, eval_split="train[-8:]")
    assert "8 of the 8 scored images are trained on too" in dataset.note


def test_no_test_split(tmp_path):
    path = npz(tmp_path, x_test=None)
    with pytest.raises(UserError, match="no array x_test, .*--eval_split=train.90%:. scores"):
        load(path)
    options = DataOptions(train_split="train[:90%]", eval_split="train[90%:]")
    assert load(path, options=options).eval.num_examples == 4
    path = npz(tmp_path, x_test=None, x_val=IMAGES[:5])
    dataset = load(path)
    assert dataset.eval.num_examples == 5 and "scored on its split validation" in dataset.note


@pytest.mark.parametrize("flag", ["train_split", "eval_split"])
@pytest.mark.parametrize(
    "value", ["tset", "train[", "train[9%", "train[50:50]", "train[:9999]", "+"]
)
def test_wrong_splits_are_told(flag, value):
    with pytest.raises(UserError) as error:
        load("digits", options=DataOptions(**{flag: value}))
    text = str(error.value)
    assert text.startswith(f"{flag}={value}: ") and "\n" not in text
    assert "digits" in text


# Data sets of tfds


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Folder with prepared stand-ins for data sets of tfds."""
    import tensorflow_datasets as tfds

    folder = str(tmp_path_factory.mktemp("tfds"))

    def prepare(name, version, shape, splits, **labels):
        features = {"image": tfds.features.Image(shape=shape)}
        if labels:
            features["label"] = tfds.features.ClassLabel(**labels)

        def info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def generators(self, _):
            def examples(split, images):
                label = {"label": -1 if split == "unlabelled" else 0} if labels else {}
                return ((i, {"image": image} | label) for i, image in enumerate(images))

            return {split: examples(split, images) for split, images in splits.items()}

        builder = type(
            name,
            (tfds.core.GeneratorBasedBuilder,),
            {
                "VERSION": tfds.core.Version(version),
                "_info": info,
                "_split_generators": generators,
                "_generate_examples": lambda self: None,
            },
            skip_registration=True,
        )
        builder(data_dir=folder).download_and_prepare()

    binary = random_levels(30, 28, 28, 1, num_levels=2)
    parts = {"train": binary[:20], "validation": binary[20:25], "test": binary[25:]}
    prepare("BinarizedMnist", "1.0.0", (28, 28, 1), parts)
    photos = [random_levels(10 + i, 20 - i, 3, seed=i) for i in range(10)]
    prepare("TfFlowers", "3.0.1", (None, None, 3), {"train": photos}, num_classes=5)
    parts = {split: random_levels(4, 96, 96, 3) for split in ("train", "test", "unlabelled")}
    prepare("Stl10", "1.0.0", (96, 96, 3), parts, num_classes=10)
    return folder, binary, photos


def test_binarized_mnist_has_two_levels(prepared):
    folder, binary, _ = prepared
    dataset = load("binarized_mnist", folder)
    assert dataset.num_levels == 2 and dataset.num_classes is None and dataset.warnings == ()
    assert dataset.benchmark == "binarized_mnist" and dataset.eval_name == "test"
    np.testing.assert_array_equal(np.unique(dataset.train.images), [0, 1])
    assert dataset.eval.num_examples == 5 and dataset.validation.num_examples == 5
    assert describe("binarized_mnist", folder)[:3] == ((28, 28, 1), 2, None)
    assert (
        load("binarized_mnist", folder, options=DataOptions(quantize=2)).benchmark
        == "binarized_mnist"
    )
    for options in (
        DataOptions(eval_split="validation"),
        DataOptions(resize=(8, 8)),
        DataOptions(crop=(8, 8)),
        DataOptions(eval_split="test[:3]"),
    ):
        assert load("binarized_mnist", folder, options=options).benchmark == ""
    chosen = load("binarized_mnist", folder, options=DataOptions(eval_split="validation"))
    test = np.concatenate([b["images"] for b in chosen.eval.in_order(5)])
    validation = np.concatenate([b["images"] for b in dataset.validation.in_order(5)])
    np.testing.assert_array_equal(test, validation)
    assert chosen.eval_name == "validation"


def test_parts_of_a_tfds_data_set(prepared):
    folder, binary, _ = prepared
    options = DataOptions(train_split="train[:75%]+validation", eval_split="train[75%:]")
    dataset = load("binarized_mnist", folder, options=options)
    assert (dataset.train.num_examples, dataset.eval.num_examples) == (20, 5)
    assert dataset.note == "" and dataset.eval_name == "train[75%:]"


@pytest.mark.parametrize("limit", [2**30, 0])
def test_a_split_without_labels(prepared, limit):
    folder, *_ = prepared
    options = DataOptions(train_split="unlabelled")
    dataset = load_tfds("stl10", folder, limit, options)
    assert dataset.num_classes is None and dataset.train.num_examples == 4
    for batch in (*dataset.train.epoch(0, 2, seed=1), *dataset.eval.in_order(4)):
        assert "labels" not in batch
    config = from_values({"dataset": "stl10", "config": "tiny", "class_conditional": True})
    with pytest.raises(UserError, match="class_conditional.*split unlabelled has none"):
        make_model(config, dataset)
    assert load_tfds("stl10", folder, limit).num_classes == 10


@pytest.mark.parametrize("limit", [2**30, 0])
def test_tfds_images_of_several_sizes(prepared, limit, monkeypatch):
    folder, _, photos = prepared
    monkeypatch.setattr(tfds_data, "IN_MEMORY_BYTES", limit)
    kind = PackedSplit if limit else StreamedSplit
    with pytest.raises(UserError, match="differ in size .*--resize=HxW or --crop=HxW"):
        load("tf_flowers", folder)
    crop = load_tfds("tf_flowers", folder, limit, DataOptions(crop=(8, 6)))
    assert crop.image_shape == (8, 6, 3) and isinstance(crop.train, kind)
    assert "last 10 % of train" in crop.note and crop.num_classes == 5
    if limit:  # the labels of a streamed split are not looked at
        warnings = load("tf_flowers", folder, options=DataOptions(crop=(8, 6))).warnings
        assert "4 of 5 classes have no training image: 1 to 4" in warnings[0]
    options = DataOptions(crop=(8, 6), random_flip=True)
    batches = list(load("tf_flowers", folder, options=options).train.epoch(0, 3, seed=1))
    assert [batch["images"].shape for batch in batches] == [(3, 8, 6, 3)] * 3
    resized = load_tfds("tf_flowers", folder, limit, DataOptions(resize=(8, 6)))
    assert resized.image_shape == resized.train.image_shape == (8, 6, 3)
    first = next(iter(resized.train.in_order(9)))["images"].numpy()
    expected = [resize(photo, (8, 6), 256) for photo in photos]
    assert all(any(np.array_equal(image, each) for each in expected) for image in first)
    if limit:
        with pytest.raises(UserError, match="crop=15x6: .*has an image of"):
            load_tfds("tf_flowers", folder, limit, DataOptions(crop=(15, 6)))
