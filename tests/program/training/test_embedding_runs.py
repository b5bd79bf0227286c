"""Runs with --condition=embedding:<file>, and train.embedding: the whole program, and mistakes."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from calls import call, refusal
from PIL import Image
from serving_stand_in import SessionModel
from small import config_of, load_run, random_levels, run_of, run_training, small_encoder

import train.embedding
import train.pack
import train.sample
import train.score
from pixelcnn_tf import sampling
from pixelcnn_tf.levels import levels_to_input
from pixelcnn_tf.random import example_seeds
from train.data.by_class import class_batches
from train.data.load import load
from train.errors import UserError
from train.export import export
from train.main import train as train_run
from train.run import Run, config_json
from train.run.embedding import find_embedding
from train.training.triplets import triplet_loss

SIZES = dict(config="tiny", nr_resnet=1, nr_filters=6, num_head_filters=6, batch_size=20)
SIZES |= dict(model="gated_pixelcnn", eval_interval=0, max_steps=2, num_samples=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set of images of 6x5, a Keras model, and a run given its vectors."""
    folder = tmp_path_factory.mktemp("embedding")
    images = random_levels(60, 6, 5, 1, num_levels=4, seed=1)
    np.savez(folder / "data.npz", x_train=images[:50], x_test=images[50:], num_levels=4)
    small_encoder((6, 5, 1)).save(folder / "encoder.keras")
    run_training(run_config(folder))
    return folder


def run_config(folder, workdir=None, file="encoder.keras", **changes):
    values = dict(dataset=f"{folder}/data.npz", condition=f"embedding:{folder}/{file}")
    return config_of(workdir or folder / "run", SIZES | values | changes)


def test_only_a_run_of_the_same_keras_model_starts_from_it(folder, tmp_path):
    """Wherever its file lies; vectors of another model are as long, and mean something else."""
    shutil.copy(folder / "encoder.keras", tmp_path / "moved.keras")
    start = dict(init_from=str(folder / "run"), max_steps=1, num_samples=0)
    same = dict(condition=f"embedding:{tmp_path}/moved.keras")
    run_training(run_config(folder, tmp_path / "same", **start, **same))
    other = small_encoder((6, 5, 1))
    other.set_weights([weight + 1.0 for weight in other.get_weights()])
    other.save(tmp_path / "other.keras")
    for condition in (f"embedding:{tmp_path}/other.keras", ""):
        with pytest.raises(UserError, match="was trained with --condition=embedding.*but here"):
            run_training(run_config(folder, tmp_path / "run", condition=condition, **start))


def test_scores_and_pictures_are_those_given_the_vectors(folder):
    model, encoder = load_run(str(folder / "run"))[2], small_encoder((6, 5, 1))
    with np.load(folder / "data.npz") as file:
        values = levels_to_input(file["x_test"], 4)
    nats = model.log_prob(values, encoder(values)).numpy()
    row = json.loads((folder / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    np.testing.assert_allclose(row["test/loss_per_image"], -nats.mean(), rtol=1e-5)
    with np.load(folder / "run" / "samples" / "step_0000002.npz") as file:
        assert file["images"].shape == (8, 6, 5, 1)
        np.testing.assert_allclose(file["conditions"], encoder(values[:2]), rtol=1e-6)


def test_images_like_one_and_between_two(folder, tmp_path):
    model, encoder = load_run(str(folder / "run"))[2], small_encoder((6, 5, 1))
    with np.load(folder / "data.npz") as file:
        images = file["x_test"][:2]
    np.savez(tmp_path / "one.npz", images=images[:1], num_levels=4)
    np.savez(tmp_path / "two.npz", images=images, num_levels=4)
    np.savez(tmp_path / "other.npz", images=images[1:], num_levels=4)
    flags = [f"--workdir={folder}/run", f"--output={tmp_path}/drawn"]
    call(train.sample, *flags, f"--like={tmp_path}/one.npz", "--num_samples=3")
    vectors = encoder(levels_to_input(images, 4)).numpy()
    with np.load(tmp_path / "drawn.npz") as file:
        assert file["images"].shape == (3, 6, 5, 1)
        np.testing.assert_allclose(file["conditions"], vectors[:1], rtol=1e-6)
    both = f"--interpolate={tmp_path}/one.npz,{tmp_path}/other.npz"
    call(train.sample, *flags, both, "--steps=5", "--num_completions=2")
    with np.load(tmp_path / "drawn.npz") as file:
        line = [vectors[0] + share * (vectors[1] - vectors[0]) for share in np.linspace(0, 1, 5)]
        np.testing.assert_allclose(file["conditions"], line, rtol=1e-5, atol=1e-6)
        drawn = levels_to_input(file["images"], 4).numpy().reshape(2, 5, 6, 5, 1)
        seeds = tf.repeat(example_seeds(1, 2)[1:], 5, axis=0)  # one noise a row
        expected = sampling.sample(model, 5, seed=seeds, labels=file["conditions"])
        np.testing.assert_array_equal(drawn[1], expected)
        assert len(np.unique(drawn, axis=0)) == 2
        np.testing.assert_array_equal(file["originals"], images)
    with Image.open(tmp_path / "drawn.png") as picture:
        assert picture.width > 7 * 5 and picture.height > 2 * 6
    for given, message in (
        ([f"--like={tmp_path}/two.npz"], "two.npz has several images"),
        ([f"--like={tmp_path}/gone.png"], "--like=.*gone.png: no such file or folder"),
        ([f"--interpolate={tmp_path}/one.npz"], "must be two images, a.png,b.png"),
        ([both, "--steps=1"], "--steps=1"),
        (["--steps=3"], "--steps=3: is for --interpolate"),
        ([both, "--like=x.png"], "--like=x.png: excludes --interpolate=.*; use only one"),
        (["--like=x.png", "--complete=top"], "--complete=top: excludes --like=x.png; use only one"),
        (["--height=9"], "need --condition_images of that size"),
    ):
        with pytest.raises(AssertionError, match=message.removeprefix("--")):
            raise AssertionError(refusal(train.sample, *flags, *given))
    np.savez(tmp_path / "wide.npz", images=images[:, :5], num_levels=4)
    text = refusal(train.sample, *flags, f"--like={tmp_path}/wide.npz")
    assert "images/0 is 5x5 with 1 channel, must be 6x5 with 1 channel" in text
    text = refusal(train.pack, f"--workdir={folder}/run", "--output=x")
    assert "the model needs the Keras model of its embedding" in text


@pytest.mark.slow
def test_images_of_another_kind_have_no_vector(folder, tmp_path):
    Image.fromarray(random_levels(6, 5)).save(tmp_path / "grey.png")
    text = refusal(train.sample, f"--workdir={folder}/run", f"--like={tmp_path}/grey.png")
    assert "grey.png has 256 levels a channel, the run in" in text
    np.savez(tmp_path / "wide.npz", images=random_levels(2, 5, 5, 1, num_levels=4), num_levels=4)
    text = refusal(train.score, f"--workdir={folder}/run", f"--images={tmp_path}/wide.npz")
    assert "must accept images [B, 5, 5, 1], got [B, 6, 5, 1]" in text
    with pytest.raises(UserError, match="height=9, --width=0: condition: the Keras model takes"):
        export(str(folder / "run"), str(tmp_path / "model"), height=9)


def test_a_run_keeps_its_embedding(folder, tmp_path):
    """It needs no other file, takes it from another place, and takes no other one."""
    run, kept = tmp_path / "run", tmp_path / "run" / "embedding.keras"
    shutil.copytree(folder / "run", run)
    assert kept.read_bytes() == (folder / "encoder.keras").read_bytes()
    assert find_embedding(run_of(run_config(tmp_path, run, "gone.keras"))).path == str(kept)
    shutil.copy(kept, tmp_path / "moved.keras")
    config = run_config(tmp_path, run, "moved.keras", dataset=f"{folder}/data.npz")
    assert find_embedding(run_of(config)).path == str(kept)
    config_json.check_config_matches(Run.open(str(run)).saved, config)
    small_encoder((6, 5, 1), size=4).save(tmp_path / "other.keras")
    with pytest.raises(
        UserError, match="has the fingerprint .*, but the run in .* was started with"
    ):
        train_run(config.replace(condition=f"embedding:{tmp_path}/other.keras"))
    shutil.copy(tmp_path / "other.keras", run / "embedding.keras")
    with pytest.raises(UserError, match="its embedding .*embedding.keras was changed; restore"):
        load_run(str(run))
    (run / "embedding.keras").unlink()
    with pytest.raises(UserError, match="embedding.keras cannot be read"):
        load_run(str(run))


@pytest.mark.slow
def test_a_run_goes_on_without_the_file(folder, tmp_path):
    """To the same numbers, by the copy in its folder."""
    (tmp_path / "data.npz").symlink_to(folder / "data.npz")
    shutil.copy(folder / "encoder.keras", tmp_path / "encoder.keras")
    run_training(run_config(tmp_path, max_steps=4))
    shutil.copytree(folder / "run", tmp_path / "parts")
    config = run_config(folder, tmp_path / "parts", "gone.keras", max_steps=4)
    run_training(config)
    runs = [load_run(str(tmp_path / name)) for name in ("run", "parts")]
    for mine, others in zip(*(run[1].get_weights() for run in runs), strict=True):
        np.testing.assert_array_equal(mine, others)


def write(path, data):
    path.write_bytes(data)


def with_code():
    """A Keras model with code of its own, which Keras does not run."""
    return keras.Sequential([keras.Input((6, 5, 1)), keras.layers.Lambda(lambda x: x)])


FILES = {  # what is written as a Keras model -> what is said of it
    "text": (lambda path: write(path, b"no model"), "is not a complete .keras file"),
    "cut": (
        lambda path: (small_encoder((6, 5, 1)).save(path), write(path, path.read_bytes()[:900])),
        "is not a complete .keras file",
    ),
    "code": (
        lambda path: keras.Sequential(
            [keras.Input((6, 5, 1)), keras.layers.Lambda(lambda x: x)]
        ).save(path),
        "cannot be loaded by Keras \\(.*Lambda",
    ),
    "other size": (
        lambda path: small_encoder((7, 5, 1)).save(path),
        r"must accept images \[B, 6, 5, 1\], got \[B, 7, 5, 1\]",
    ),
    "gone": (lambda path: None, "cannot be read \\(No such file or directory\\)"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_embedding_are_named(case, folder, tmp_path):
    make, message = FILES[case]
    make(tmp_path / "bad.keras")
    (tmp_path / "data.npz").symlink_to(folder / "data.npz")
    with pytest.raises(UserError, match=message.removeprefix("--")) as raised:
        train_run(run_config(tmp_path, file="bad.keras"))
    assert "\n" not in str(raised.value) and not (tmp_path / "run" / "config.json").exists()
    assert not (tmp_path / "run" / "embedding.keras").exists()


@pytest.mark.slow
def test_an_h5_file(folder, tmp_path):
    small_encoder((6, 5, 1)).save(tmp_path / "encoder.h5")
    (tmp_path / "data.npz").symlink_to(folder / "data.npz")
    run_training(run_config(tmp_path, file="encoder.h5"))
    one, other = (load_run(str(each / "run"))[2] for each in (folder, tmp_path))
    images = levels_to_input(random_levels(2, 6, 5, 1, num_levels=4), 4)
    np.testing.assert_array_equal(one(images), other(images))


@pytest.mark.slow
def test_exported(folder):
    model = load_run(str(folder / "run"))[2]
    path = export(str(folder / "run"), str(folder / "models" / "like"))
    served = SessionModel(path)
    images = random_levels(2, 6, 5, 1, num_levels=4, seed=4)
    vectors = served("embed", {"images": images})["condition"]
    np.testing.assert_allclose(
        vectors, model.compute_condition(levels_to_input(images, 4)), rtol=1e-6
    )
    seeds = np.array([[1, 2], [-3, 4]], np.int32)
    drawn = served("sample", {"seeds": seeds, "condition": vectors})["images"]
    values = sampling.sample(model, 2, seed=seeds, labels=vectors)
    np.testing.assert_array_equal(levels_to_input(drawn, 4), values)
    nats = model.log_prob(levels_to_input(images, 4))
    np.testing.assert_allclose(served("score", {"images": images})["log_prob"], nats, rtol=1e-5)
    card = json.loads((folder / "models" / "like" / "model_card.json").read_text())
    assert card["condition_shape"] == [3] and "embed" in card["signatures"]


# train.embedding


def test_triplet_loss_by_hand():
    random = np.random.default_rng(1)
    vectors, labels = random.normal(size=[7, 3]).astype(np.float32), [0, 1, 0, 2, 1, 1, 3]
    losses = []
    for a in range(7):
        for p in range(7):
            for n in range(7):
                if a != p and labels[a] == labels[p] != labels[n]:
                    near, far = ((vectors[a] - vectors[k]) ** 2 for k in (p, n))
                    losses.append(near.sum() - far.sum() + 0.4)
    expected = np.mean([loss for loss in losses if loss > 0])
    np.testing.assert_allclose(triplet_loss(vectors, tf.constant(labels), 0.4), expected, rtol=1e-5)
    assert triplet_loss(vectors, tf.range(7), 0.4) == 0


def test_batches_hold_several_images_of_a_class():
    dataset = load("digits")
    batches = list(class_batches(dataset, 22, 3, seed=1))
    for batch in batches:
        labels, counts = np.unique(batch["labels"], return_counts=True)
        assert len(labels) == 5 and set(counts) == {4}
    assert set(batches[0]["labels"].numpy()) != set(batches[1]["labels"].numpy())
    again = list(class_batches(dataset, 22, 3, seed=1))
    np.testing.assert_array_equal(batches[2]["images"], again[2]["images"])
    # As they are in the data set, each with its label.
    image, label = batches[0]["images"][0].numpy(), batches[0]["labels"][0]
    places = np.flatnonzero((dataset.train.images == image).all(axis=(1, 2, 3)))
    assert label in dataset.train.labels[places]


def test_embedding_of_the_digits(tmp_path):
    output = tmp_path / "digits.keras"
    flags = ["--dataset=digits", f"--output={output}", "--nr_filters=8", "--embedding_dim=5"]
    told = call(train.embedding, *flags, "--max_steps=60", "--learning_rate=0.005")
    encoder, digits = keras.saving.load_model(output), load("digits")
    known, asked = (
        encoder.predict(levels_to_input(split.images, 17), verbose=0)
        for split in (digits.train, digits.eval)
    )
    np.testing.assert_allclose(np.linalg.norm(known, axis=1), 1.0, rtol=1e-5)
    nearest = np.argmin(((asked[:, None] - known) ** 2).sum(axis=-1), axis=1)
    accuracy = np.mean(digits.train.labels[nearest] == digits.eval.labels)
    assert accuracy > 0.7  # chance is 0.1
    assert f"{accuracy:.2%} of 300 test images have the class of the nearest of 1,497" in told
    assert [path.name for path in tmp_path.iterdir()] == ["digits.keras"]


def test_what_train_embedding_refuses(tmp_path):
    images = random_levels(9, 4, 4, 1)
    np.savez(tmp_path / "plain.npz", x_train=images, x_test=images)
    labels = np.arange(9)
    np.savez(tmp_path / "ones.npz", x_train=images, x_test=images, y_train=labels, y_test=labels)
    output = f"--output={tmp_path}/x.keras"
    for flags, message in (
        ([], "--output is missing"),
        (["--output=x.h5"], "--output=x.h5: must end in .keras"),
        ([output, "--learning_rate=2"], "--learning_rate=2"),
        ([output, f"--dataset={tmp_path}/plain.npz"], "plain.npz has no labels"),
        ([output, f"--dataset={tmp_path}/ones.npz"], "0 of its 9 classes have two training images"),
        ([f"--output={tmp_path}/plain.npz/x.keras"], "cannot write --output="),
    ):
        assert message in refusal(train.embedding, *flags)
    assert not (tmp_path / "x.keras").exists()
