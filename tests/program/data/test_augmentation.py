"""What is drawn anew: a function of (seed, epoch, position), with the right probabilities."""

import numpy as np
import pytest
import tensorflow as tf
from small import random_levels

from pixelcnn_tf.levels import dtype_of_levels
from train.data.augmentation import Augmentation
from train.data.load import load
from train.data.options import DataOptions
from train.data.splits import ArraySplit, StreamedSplit
from train.errors import UserError

IMAGES = random_levels(50, 6, 5, 1)
ALL = Augmentation(binarize=0, random_flip=True, mutation_rate=0.3, num_levels=256)


def make_split(kind, images=IMAGES):
    labels = np.arange(len(images), dtype=np.int32)
    if kind == "array":
        return ArraySplit(images, labels)

    def read(shuffle_seed):
        return tf.data.Dataset.from_tensor_slices({"images": images, "labels": labels})

    return StreamedSplit(read, len(images), images.shape[1:])


def batches_of(dataset):
    return list(dataset.as_numpy_iterator())


@pytest.mark.parametrize("kind", ["array", "streamed"])
@pytest.mark.parametrize("augmentation", [ALL, Augmentation(binarize=256, num_levels=2)])
def test_draws_differ_by_epoch_and_continue_exactly(kind, augmentation):
    split = make_split(kind).crop((4, 4)).with_augmentation(augmentation)
    assert split.image_shape == (4, 4, 1)
    first, second = (batches_of(split.epoch(epoch, 8, seed=1)) for epoch in (0, 1))
    by_label = {int(y): x for b in first for x, y in zip(b["images"], b["labels"], strict=True)}
    pairs = [
        np.array_equal(by_label[int(y)], x)
        for b in second
        for x, y in zip(b["images"], b["labels"], strict=True)
        if int(y) in by_label
    ]
    assert sum(pairs) < len(pairs) / 4
    again = batches_of(split.epoch(1, 8, seed=1, skip=2))
    for a, b in zip(second[2:], again, strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])
    other = batches_of(split.epoch(1, 8, seed=2))
    assert not np.array_equal(other[0]["images"], second[0]["images"])


@pytest.mark.parametrize("kind", ["array", "streamed"])
def test_evaluation_is_not_augmented(kind):
    split = make_split(kind)
    plain = batches_of(split.in_order(16))
    for a, b in zip(plain, batches_of(split.with_augmentation(ALL).in_order(16)), strict=True):
        np.testing.assert_array_equal(a["images"], b["images"])
    centre = batches_of(split.crop((4, 4)).with_augmentation(ALL).in_order(50))[0]
    np.testing.assert_array_equal(centre["images"], IMAGES[:, 1:5, 0:4])


def test_replicas_get_what_one_gets():
    split = make_split("array").crop((4, 4)).with_augmentation(ALL)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    batches = split.epoch(1, 8, seed=1)
    shared = strategy.experimental_distribute_dataset(batches)
    for whole, parts in zip(batches, shared, strict=True):
        parts = strategy.experimental_local_results(parts["images"])
        np.testing.assert_array_equal(np.concatenate(parts), whole["images"])


def test_training_without_augmentation_is_untouched():
    split = make_split("array")
    plain = batches_of(split.epoch(0, 8, seed=1))
    same = batches_of(split.with_augmentation(Augmentation()).epoch(0, 8, seed=1))
    for a, b in zip(plain, same, strict=True):
        np.testing.assert_array_equal(a["images"], b["images"])
    first = split.first_shuffled(20, 1)["images"]
    flipped = split.with_augmentation(ALL).first_shuffled(20, 1)["images"]
    assert not np.array_equal(first, flipped)


def batch_of(images, step=3):
    split = ArraySplit(images)
    return next(iter(split.epoch(step, len(images), seed=1)))


def test_flips_are_of_half_the_images():
    batch = batch_of(random_levels(400, 2, 3, 3))
    flipped = Augmentation(random_flip=True).train(batch)["images"].numpy()
    before = batch["images"].numpy()
    turned = (flipped == before[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (turned | (flipped == before).all(axis=(1, 2, 3))).all()
    assert abs(turned.mean() - 0.5) < 0.1


@pytest.mark.parametrize("num_levels", [2, 256, 65536])
def test_mutations_have_their_rate_and_all_levels(num_levels):
    images = random_levels(100, 10, 10, 3, num_levels=num_levels).astype(
        dtype_of_levels(num_levels)
    )
    batch = batch_of(images)
    mutated = Augmentation(mutation_rate=0.2, num_levels=num_levels).train(batch)["images"]
    assert mutated.dtype == batch["images"].dtype
    changed = mutated.numpy() != batch["images"].numpy()
    assert abs(changed.mean() - 0.2 * (1 - 1 / num_levels)) < 0.01
    new = mutated.numpy()[changed].astype(float)
    assert abs(new.mean() / (num_levels - 1) - 0.5) < 0.02
    assert new.max() > 0.99 * (num_levels - 1)
    everything = Augmentation(mutation_rate=1.0, num_levels=num_levels).train(batch)["images"]
    assert abs((everything.numpy() != batch["images"].numpy()).mean() - 1 + 1 / num_levels) < 0.02


@pytest.mark.parametrize("num_levels", [17, 256, 65536])
def test_binarisation_has_the_intensities_as_probabilities(num_levels):
    levels = np.linspace(0, num_levels - 1, 5).round().astype(np.uint16)
    images = np.broadcast_to(levels[None, :, None, None], [400, 5, 10, 1])
    batch = batch_of(images)
    augmentation = Augmentation(binarize=num_levels, num_levels=2)
    drawn = augmentation.train(batch)["images"].numpy()
    assert drawn.dtype == np.uint8 and set(np.unique(drawn)) == {0, 1}
    np.testing.assert_allclose(drawn.mean(axis=(0, 2, 3)), levels / (num_levels - 1), atol=0.03)
    assert drawn[:, 0].max() == 0 and drawn[:, -1].min() == 1  # black and white are certain


@pytest.mark.parametrize("kind", ["array", "streamed"])
def test_evaluation_sees_one_binary_draw_whatever_the_batch(kind):
    split = make_split(kind).with_augmentation(Augmentation(binarize=256, num_levels=2))

    def images(size):
        return np.concatenate([b["images"] for b in batches_of(split.in_order(size))])[:50]

    whole = images(50)
    for size in (7, 16):
        np.testing.assert_array_equal(images(size), whole)
    assert abs(whole.mean() - IMAGES.mean() / 255) < 0.05


def test_flags_reach_the_splits():
    dataset = load("digits", options=DataOptions(binarize="dynamic"))
    assert dataset.num_levels == 2 and "one fixed draw" in dataset.note
    batch = next(iter(dataset.train.epoch(0, 16, seed=1)))
    assert set(np.unique(batch["images"])) == {0, 1}
    assert set(np.unique(next(iter(dataset.eval.in_order(16)))["images"])) == {0, 1}
    options = DataOptions(crop=(4, 6), random_flip=True, mutation_rate=0.1)
    dataset = load("digits", options=options._replace(quantize=4))
    assert dataset.image_shape == (4, 6, 1) and "central 4x6" in dataset.note
    assert dataset.train.augmentation == Augmentation(0, True, 0.1, 4)
    batch = next(iter(dataset.train.epoch(0, 16, seed=1)))
    assert batch["images"].shape == (16, 4, 6, 1) and batch["images"].numpy().max() == 3
    resized = load("digits", options=DataOptions(resize=(12, 12)))
    assert resized.image_shape == (12, 12, 1) and resized.num_levels == 17
    assert resized.train.images.max() == 16 and "resized to 12x12" in resized.note
    with pytest.raises(UserError, match="alpha is for --dataset=folder:..., not for"):
        load("digits", options=DataOptions(alpha="drop"))
    with pytest.raises(UserError, match="crop=9x4: the images of --dataset=digits are 8x8"):
        load("digits", options=DataOptions(crop=(9, 4)))
    with pytest.raises(UserError, match="binarize=dynamic: .* 2 levels already"):
        load("digits", options=DataOptions(binarize="dynamic", quantize=2))
