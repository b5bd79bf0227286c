import os

import numpy as np
import pytest
import tensorflow as tf
from small import random_levels

from train.data.load import load
from train.data.splits import ArraySplit, StreamedSplit
from train.data.tfds_data import load_tfds
from train.errors import UserError


def random_images(num, height=8, width=8, channels=3):
    return random_levels(num, height, width, channels)


def as_set(images):
    assert len(images) == len({image.tobytes() for image in images})
    return {image.tobytes() for image in images}


def numbered_split(count, kind="array"):
    """A split whose image i is filled with the number i."""
    images = np.broadcast_to(np.arange(count)[:, None, None, None], [count, 4, 4, 1])
    images = images.astype(np.uint8)
    if kind == "array":
        return ArraySplit(images, np.arange(count, dtype=np.int32))

    def read(shuffle_seed):
        return tf.data.Dataset.from_tensor_slices(
            {"images": images, "labels": np.arange(count, dtype=np.int32)}
        )

    return StreamedSplit(read, count, (4, 4, 1))


def numbers(batches):
    return np.concatenate([batch["images"][:, 0, 0, 0] for batch in batches.as_numpy_iterator()])


@pytest.mark.parametrize("kind", ["array", "streamed"])
def test_epochs_are_shuffled_anew_and_continue_exactly(kind):
    split = numbered_split(50, kind)
    first, second = (numbers(split.epoch(epoch, 8, seed=1)) for epoch in (0, 1))
    for epoch in (first, second):
        assert len(epoch) == 48 and len(set(epoch)) == 48  # the incomplete batch is dropped
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(numbers(split.epoch(1, 8, seed=1)), second)
    assert not np.array_equal(numbers(split.epoch(0, 8, seed=2)), first)
    np.testing.assert_array_equal(numbers(split.epoch(1, 8, seed=1, skip=2)), second[16:])


@pytest.mark.parametrize("kind", ["array", "streamed"])
def test_seeds_belong_to_step_and_position(kind):
    split = numbered_split(50, kind)
    batches = list(split.epoch(1, 8, seed=1).as_numpy_iterator())
    continued = list(split.epoch(1, 8, seed=1, skip=2).as_numpy_iterator())
    np.testing.assert_array_equal(continued[0]["seeds"], batches[2]["seeds"])
    every = np.concatenate([batch["seeds"] for batch in batches])
    assert len(np.unique(every, axis=0)) == 48
    for batch in batches:
        np.testing.assert_array_equal(batch["labels"], batch["images"][:, 0, 0, 0])


@pytest.mark.parametrize("kind", ["array", "streamed"])
def test_in_order_gives_every_image_once(kind):
    batches = list(numbered_split(50, kind).in_order(16).as_numpy_iterator())
    assert {batch["images"].shape for batch in batches} == {(16, 4, 4, 1)}
    weights = np.concatenate([batch["weights"] for batch in batches])
    seen = np.concatenate([batch["labels"] for batch in batches])
    np.testing.assert_array_equal(seen[weights == 1], np.arange(50))
    assert weights.sum() == 50 and not seen[weights == 0].any()


def test_digits():
    dataset = load("digits")
    assert dataset.image_shape == (8, 8, 1) and dataset.num_levels == 17
    assert dataset.train.num_examples + dataset.eval.num_examples == 1797
    assert dataset.train.images.min() == 0 and dataset.train.images.max() == 16
    assert set(dataset.eval.labels) == set(range(10))


def test_npz(tmp_path):
    path = str(tmp_path / "set.npz")
    arrays = dict(x_train=random_images(20), x_test=random_images(5))
    np.savez(path, **arrays)
    assert load(path).num_classes is None
    labels = dict(y_train=np.arange(20) % 3, y_test=np.arange(5) % 3)
    np.savez(path, **arrays, **labels)
    dataset = load(path)
    assert dataset.num_classes == 3 and dataset.image_shape == (8, 8, 3)
    np.testing.assert_array_equal(dataset.eval.images, arrays["x_test"])
    np.savez(path, x_train=random_images(20, channels=1)[..., 0], x_test=random_images(5)[..., 0])
    assert load(path).image_shape == (8, 8, 1)


@pytest.mark.parametrize(
    "arrays, message",
    [
        (dict(x_train=random_images(4)), "no array x_test"),
        (dict(x_train=random_images(4) / 255.0, x_test=random_images(4)), "float64"),
        (dict(x_train=random_images(4), x_test=random_images(4, 12)), "x_test"),
        (dict(x_train=random_images(4, channels=2), x_test=random_images(4, channels=2)), "2 chan"),
        (dict(x_train=random_images(4), x_test=random_images(4), y_test=[1]), "y_test"),
        (dict(x_train=random_images(4), x_test=random_images(4), num_levels=9), "must be 0 to 8"),
        (dict(x_train=random_images(4), x_test=random_images(4), num_levels=1), "num_levels is 1"),
        (dict(x_train=random_images(4).astype(int) - 300, x_test=random_images(4)), "hold -300 to"),
    ],
)
def test_unfit_npz_is_refused(tmp_path, arrays, message):
    path = str(tmp_path / "set.npz")
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=message.removeprefix("--")):
        load(path)


def test_damaged_npz_is_refused(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, x_train=random_images(20), x_test=random_images(5))
    whole = path.read_bytes()
    for size in (0, 100, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="not a readable .npz"):
            load(str(path))
    np.savez_compressed(path, x_train=random_images(20), x_test=random_images(5))
    whole = path.read_bytes()
    for place in range(60, 1500, 90):
        path.write_bytes(whole[:place] + b"damaged!" + whole[place + 8 :])
        with pytest.raises(UserError, match="not a readable .npz"):
            load(str(path))
    with open(path, "wb") as file:
        np.save(file, random_images(5))
    with pytest.raises(UserError, match="not a readable .npz"):
        load(str(path))
    with pytest.raises(UserError, match="no such file"):
        load(str(tmp_path / "other.npz"))


def write_png(path, image):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    tf.io.write_file(str(path), tf.io.encode_png(image))


def test_flat_folder(tmp_path):
    images = random_images(40, channels=1)
    for i, image in enumerate(images):
        write_png(f"{tmp_path}/{i:03}.png", image)
    (tmp_path / "notes.txt").write_text("not an image")
    dataset = load(f"folder:{tmp_path}")
    assert dataset.image_shape == (8, 8, 1) and dataset.num_classes is None
    assert dataset.eval.num_examples > 0 and "file name" in dataset.note
    found = np.concatenate([dataset.train.images, dataset.eval.images])
    assert as_set(found) == as_set(images)
    write_png(f"{tmp_path}/zzz.png", random_images(1)[0])  # one in colour: all become RGB
    assert load(f"folder:{tmp_path}").image_shape == (8, 8, 3)
    (tmp_path / "zzz.png").unlink()
    again = load(f"folder:{tmp_path}")
    np.testing.assert_array_equal(again.eval.images, dataset.eval.images)


def test_class_folders(tmp_path):
    images = random_images(8)
    for i, image in enumerate(images):
        split = "train" if i < 6 else "test"
        write_png(f"{tmp_path}/{split}/{'cat' if i % 2 else 'ant'}/{i}.png", image)
    dataset = load(f"folder:{tmp_path}")
    assert dataset.num_classes == 2 and dataset.train.num_examples == 6
    for image, label in zip(dataset.train.images, dataset.train.labels, strict=True):
        number = next(i for i in range(8) if np.array_equal(images[i], image))
        assert label == number % 2


def test_bad_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        load(f"folder:{tmp_path}/none")
    with pytest.raises(UserError, match="holds no images"):
        load(f"folder:{tmp_path}")
    for i in range(30):
        write_png(f"{tmp_path}/{i:03}.png", random_images(1)[0])
    (tmp_path / "007.png").write_bytes(b"\x89PNG and nothing more")
    with pytest.raises(UserError, match="007.png: not a readable image"):
        load(f"folder:{tmp_path}")
    write_png(f"{tmp_path}/007.png", random_images(1, 12, 8)[0])
    with pytest.raises(
        UserError, match="007.png is 12x8, but .*000.png is 8x8; --resize=HxW or --crop"
    ):
        load(f"folder:{tmp_path}")


@pytest.fixture
def mnist(tmp_path):
    """A prepared tfds data set of random images under the name of mnist."""
    import tensorflow_datasets as tfds

    images = random_images(40, 28, 28, 1)

    class Mnist(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("3.0.1")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Image(shape=(28, 28, 1)),
                        "label": tfds.features.ClassLabel(num_classes=10),
                    }
                ),
            )

        def _split_generators(self, _):
            return {
                "train": self._generate_examples(0, 30),
                "test": self._generate_examples(30, 40),
            }

        def _generate_examples(self, begin, end):
            for i in range(begin, end):
                yield i, {"image": images[i], "label": i % 10}

    Mnist(data_dir=tmp_path).download_and_prepare()
    return str(tmp_path), images


def test_prepared_tfds_data_in_memory_and_streamed(mnist):
    data_dir, images = mnist
    dataset = load("mnist", data_dir)
    assert dataset.image_shape == (28, 28, 1) and dataset.num_classes == 10
    assert as_set(dataset.train.images) == as_set(images[:30])
    assert dataset.note == "scored on 10 of the 10,000 official test images"

    streamed = load_tfds("mnist", data_dir, in_memory_bytes=0)
    assert isinstance(streamed.train, StreamedSplit)
    epoch = list(streamed.train.epoch(0, 5, seed=1).as_numpy_iterator())
    seen = np.concatenate([batch["images"] for batch in epoch])
    assert as_set(seen) == as_set(images[:30])
    continued = list(streamed.train.epoch(0, 5, seed=1, skip=4).as_numpy_iterator())
    np.testing.assert_array_equal(continued[0]["images"], epoch[4]["images"])
    test = np.concatenate([b["images"] for b in streamed.eval.in_order(5).as_numpy_iterator()])
    np.testing.assert_array_equal(test, dataset.eval.images)


def test_unknown_name_is_answered_with_near_ones():
    with pytest.raises(UserError, match="cifra10: no such data set; did you mean cifar10"):
        load("cifra10")
    with pytest.raises(UserError, match="digts: no such data set; did you mean digits"):
        load("digts")


def test_no_network_is_told_at_once(tmp_path, monkeypatch):
    import requests

    def unreachable(url, timeout, **_):
        assert timeout <= 10
        raise requests.ConnectionError

    monkeypatch.setattr(requests, "head", unreachable)
    with pytest.raises(UserError) as error:
        load("cifar100", str(tmp_path))
    for part in ("cifar100", str(tmp_path), "cannot be reached", "cifar-100-binary.tar.gz"):
        assert part in str(error.value)
