"""`train.score`: its numbers against the library's and the evaluation's, and what it refuses."""

import csv
import io
import math
import os
import re

import numpy as np
import pytest
import tensorflow as tf
from calls import call, refusal
from full_disk import largest_file
from PIL import Image as Pillow
from small import load_run, random_run

import train.evaluate
import train.score
from pixelcnn_tf.levels import levels_to_input, quantize_levels
from train.data.description import DataDescription
from train.data.image_sources import Image, Images
from train.data.load import load
from train.errors import UserError
from train.progress import Counter
from train.scoring.complexity import complexity_bits
from train.scoring.detection import detect
from train.scoring.scores import Scorer, batches_by_size, score
from train.training.evaluation import make_evaluate

DIGITS = DataDescription((8, 8, 1), 17, 10)
COLOURS = DataDescription((8, 8, 3), 4, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("score")


@pytest.fixture(scope="module")
def run(folder):
    """A run on the digits."""
    return random_run(folder / "run", DIGITS, seed=1)


@pytest.fixture(scope="module")
def background(folder):
    return random_run(folder / "background", DIGITS, seed=5)


@pytest.fixture(scope="module")
def colour_run(folder):
    """A class-conditional run on RGB images, quantised to 4 levels."""
    changes = dict(quantize=4, class_conditional=True)
    return random_run(folder / "colour_run", COLOURS, seed=3, **changes)


@pytest.fixture(scope="module")
def digits(folder):
    """An `.npz` of 12 digits."""
    test = load("digits").eval
    path = folder / "digits.npz"
    np.savez(path, images=test.images[:12], labels=test.labels[:12], num_levels=17)
    return path


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def column(path, name):
    return np.array([float(row[name]) for row in table(path)])


def save_image(path, levels):
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = levels[..., 0] if levels.shape[-1] == 1 else levels
    Pillow.fromarray(levels).save(path)


def random_image(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_the_table_holds_the_models_log_prob(run, digits, tmp_path):
    output = tmp_path / "scores.csv"
    flags = [f"--workdir={run}", f"--images={digits}", f"--output={output}"]
    text = call(train.score, *flags, "--batch_size=5")
    images = np.load(digits)["images"]
    _, raw, averaged, _ = load_run(str(run))
    expected = averaged.log_prob(levels_to_input(images, 17)).numpy()
    np.testing.assert_allclose(column(output, "log_prob_nats"), expected, rtol=1e-5)
    bits = -expected / (64 * math.log(2))
    np.testing.assert_allclose(column(output, "bits_per_dim"), bits, rtol=1e-5)
    rows = table(output)
    assert list(rows[0]) == ["name", "height", "width", "log_prob_nats", "bits_per_dim"]
    assert rows[3]["name"] == "images/3" and rows[3]["height"] == rows[3]["width"] == "8"
    assert f"images of {digits}: 12 images" in text and f"wrote {output}" in text
    line = next(line for line in text.splitlines() if line.startswith("bits_per_dim"))
    numbers = [float(number) for number in line.split()[1:]]
    assert numbers == pytest.approx(
        [bits.mean(), *np.percentile(bits, [0, 5, 25, 50, 75, 95, 100])], abs=2e-4
    )
    call(train.score, *flags, "--averaged=false")
    expected = raw.log_prob(levels_to_input(images, 17)).numpy()
    np.testing.assert_allclose(column(output, "log_prob_nats"), expected, rtol=1e-5)


def test_another_request_gets_another_table(run):
    flags = [f"--workdir={run}", "--images=digits:test", "--num_images=2"]
    for flag in ([], ["--averaged=false"]):
        call(train.score, *flags, *flag)
    found = {path.name for path in (run / "scores").iterdir()}
    assert {"digits_test_n2_0000000.csv", "digits_test_n2_raw_0000000.csv"} <= found


def test_the_ground_is_that_of_a_folders_split_too(run, tmp_path):
    clear = random_image(8, 8, 1) // 16
    clear = np.concatenate([clear, np.full([8, 8, 1], 128, np.uint8)], axis=-1)
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        Pillow.fromarray(clear).save(tmp_path / split / "a.png")
    flags = [f"--workdir={run}", f"--images=folder:{tmp_path}:test", f"--output={tmp_path}/x.csv"]
    assert "has transparency" in refusal(train.score, *flags)
    # It is filled in, and then refused for its levels.
    assert "test/0 has 256 levels per channel" in refusal(train.score, *flags, "--alpha=black")


def test_the_mean_is_that_of_the_evaluation(run):
    text = call(train.score, f"--workdir={run}", "--images=digits:test", "--batch_size=64")
    output = run / "scores" / "digits_test_0000000.csv"
    assert f"wrote {output}" in text and len(table(output)) == 300
    evaluate = make_evaluate(load_run(str(run))[2], tf.distribute.get_strategy())
    nats = evaluate(load("digits").eval, batch_size=100).loss
    assert -column(output, "log_prob_nats").mean() == pytest.approx(nats, rel=1e-5)


def test_both_score_images_of_another_size(run, tmp_path):
    images = random_image(9, 5, 11, 1) % 17
    path, output = tmp_path / "other.npz", tmp_path / "scores.csv"
    np.savez(path, x_train=images[:3], x_test=images[3:], num_levels=17)
    call(train.score, f"--workdir={run}", f"--images={path}", f"--output={output}")
    text = call(train.evaluate, f"--workdir={run}", f"--dataset={path}")
    assert "6 test images of 5x11 (trained on 8x8)" in text
    nats = float(re.search(r"averaged weights: ([\d.]+) nats/image", text)[1])
    assert -column(output, "log_prob_nats").mean() == pytest.approx(nats, abs=1e-3)
    text = refusal(train.evaluate, f"--workdir={run}", "--dataset=mnist:9.9.9")
    assert "--dataset=mnist:9.9.9" in text


def test_files_of_fewer_levels_are_spread_as_a_folder_of_both(run, tmp_path):
    bits = random_image(8, 8, 1) % 2
    Pillow.fromarray(bits[..., 0].astype(bool)).save(tmp_path / "bits.png")
    output = tmp_path / "scores.csv"
    flags = [f"--workdir={run}", f"--images={tmp_path}/bits.png", f"--output={output}"]
    assert "1 images of 2 levels, spread over 17" in call(train.score, *flags)
    expected = load_run(str(run))[2].log_prob(levels_to_input(bits[None] * 16, 17)).numpy()
    np.testing.assert_allclose(column(output, "log_prob_nats"), expected, rtol=1e-5)


def test_progress_is_told_of_long_work_alone(monkeypatch):
    stream = io.StringIO()
    counter = Counter(("scored", "images"), 2000, stream)
    counter.advance(1)
    assert stream.getvalue() == ""
    monkeypatch.setattr(Counter, "QUIET_SECONDS", -1)
    counter.advance(1499)
    counter.close()
    assert re.fullmatch(r"scored 1,500 of 2,000 images, \d+s left\n", stream.getvalue())


def test_batches_of_one_size_and_area(run):
    sizes = [(2, 2), (4, 4), (2, 2), (1, 1), (4, 4), (2, 2), (4, 4)]
    images = [Image(str(n), np.zeros([*size, 1]), 2) for n, size in enumerate(sizes)]
    assert [places for places, _ in batches_by_size(images, 3, typical_area=16)] == [
        [0, 2, 5],
        [1, 4, 6],
        [3],
    ]
    places = [places for places, _ in batches_by_size(images, 3, typical_area=4)]
    assert [1] in places and [4] in places and [6] in places


def test_compiled_and_not_and_maps_agree(run):
    """The maps' sums are the scores; the batches after the first ones are compiled."""
    levels = load("digits").eval.images[:10]
    images = [Image(str(n), each, 17) for n, each in enumerate(levels)]
    maps, done = {}, []
    model = load_run(str(run))[2]
    scores = score(
        images,
        Scorer(model),
        batch_size=2,
        each=lambda image, row, bits: maps.update({image.name: bits}),
        advance=done.append,
    )
    expected = model.log_prob(levels_to_input(levels, 17)).numpy()
    np.testing.assert_allclose([row.log_prob_nats for row in scores], expected, rtol=1e-5)
    assert done == [2] * 5 and list(maps) == [row.name for row in scores]
    for row in scores:
        assert maps[row.name].shape == (8, 8)
        assert maps[row.name].sum() == pytest.approx(-row.log_prob_nats / math.log(2), rel=1e-9)
        assert maps[row.name].mean() == pytest.approx(row.bits_per_dim, rel=1e-9)


def test_maps_are_pictures_one_an_image(run, digits, tmp_path):
    flags = [f"--workdir={run}", f"--images={digits}", "--num_images=2", f"--maps={tmp_path}/maps"]
    text = call(train.score, *flags, f"--output={tmp_path}/x.csv")
    assert sorted(os.listdir(tmp_path / "maps/images")) == ["0.png", "1.png"]
    assert "the first 2 of images of" in text and "bits-per-pixel maps in" in text
    with Pillow.open(tmp_path / "maps/images/0.png") as picture:
        assert picture.width > picture.height > 100


def test_folders_spread_quantise_and_label(colour_run, tmp_path):
    """A nested folder of grey, colour and 16-bit images, for an RGB model of 4 levels."""
    colour, grey = random_image(8, 8, 3), random_image(8, 8, 1, seed=1)
    wide = np.random.default_rng(2).integers(0, 65536, (8, 8)).astype(np.uint16)
    save_image(tmp_path / "in/b/deep/colour.png", colour)
    save_image(tmp_path / "in/grey.bmp", grey)
    Pillow.fromarray(wide).save(tmp_path / "in/wide.png")
    (tmp_path / "in/notes.txt").write_text("not an image")
    output, maps = tmp_path / "scores.csv", tmp_path / "maps"
    flags = [f"--workdir={colour_run}", "--label=2", f"--output={output}", f"--maps={maps}"]
    text = call(train.score, *flags, f"--images={tmp_path}/in")
    assert "2 images grey, taken as 3 equal channels" in text
    assert "2 images quantised from 256 to 4 levels" in text
    assert "1 images quantised from 65536 to 4 levels" in text
    assert [row["name"] for row in table(output)] == ["b/deep/colour.png", "grey.bmp", "wide.png"]
    assert [row["label"] for row in table(output)] == ["2"] * 3
    assert (maps / "b/deep/colour.png").exists() and (maps / "grey.bmp.png").exists()
    levels = [
        quantize_levels(colour, 256, 4),
        np.repeat(quantize_levels(grey, 256, 4), 3, axis=-1),
        np.repeat(wide[..., None] // 16384, 3, axis=-1),
    ]
    expected = load_run(str(colour_run))[2].log_prob(
        levels_to_input(np.stack(levels), 4), [2, 2, 2]
    )
    np.testing.assert_allclose(column(output, "log_prob_nats"), expected.numpy(), rtol=1e-5)
    # One file, and the labels of an .npz.
    one = tmp_path / "in/b/deep/colour.png"
    call(train.score, *flags[:2], f"--images={one}", f"--output={output}")
    assert column(output, "log_prob_nats") == pytest.approx([expected[0].numpy()], rel=1e-5)
    np.savez(tmp_path / "x.npz", x_test=np.stack([colour, colour]), y_test=[0, 1])
    call(train.score, flags[0], f"--images={tmp_path}/x.npz", f"--output={output}")
    assert [row["label"] for row in table(output)] == ["0", "1"]
    twice = levels_to_input(np.stack([levels[0]] * 2), 4)
    expected = load_run(str(colour_run))[2].log_prob(twice, [0, 1]).numpy()
    assert abs(expected[0] - expected[1]) > 1e-3 * abs(expected[0])
    np.testing.assert_allclose(column(output, "log_prob_nats"), expected, rtol=1e-5)


def test_images_of_several_sizes(run, tmp_path):
    levels = [np.minimum(random_image(h, w, 1) // 8, 16) for h, w in ((5, 7), (8, 8), (1, 1))]
    scorer = Scorer(load_run(str(run))[2])
    scores = score([Image(str(n), each, 17) for n, each in enumerate(levels)], scorer, 4)
    for row, each in zip(scores, levels, strict=True):
        model = scorer.model.at_size(*each.shape[:2])
        expected = model.log_prob(levels_to_input(each[None], 17)).numpy()
        assert (row.height, row.width) == each.shape[:2]
        assert row.log_prob_nats == pytest.approx(expected[0], rel=1e-5)


def test_ratio_complexity_and_reference(run, background, digits, tmp_path):
    output = tmp_path / "scores.csv"
    np.savez(tmp_path / "noise.npz", images=random_image(9, 8, 8, 1) % 17, num_levels=17)
    text = call(
        train.score,
        *(f"--workdir={run}", f"--background={background}", f"--output={output}"),
        *(f"--images={tmp_path}/noise.npz", f"--reference={digits}"),
    )
    images = np.load(tmp_path / "noise.npz")["images"]
    values = levels_to_input(images, 17)
    theirs = [load_run(str(each))[2].log_prob(values).numpy() for each in (run, background)]
    ratio = column(output, "likelihood_ratio_nats")
    np.testing.assert_allclose(ratio, theirs[0] - theirs[1], rtol=1e-4, atol=1e-3)
    bits = column(output, "complexity_bits")
    assert list(bits) == [complexity_bits(each, 17) for each in images]
    np.testing.assert_allclose(
        column(output, "complexity_score"), -theirs[0] / math.log(2) - bits, rtol=1e-4, atol=1e-3
    )
    found = re.findall(r"^(likelihood|ratio|complexity) +([\d.]+) +([\d.]+)$", text, re.MULTILINE)
    assert [name for name, *_ in found] == ["likelihood", "ratio", "complexity"]
    _, _, model, _ = load_run(str(run))
    reference = model.log_prob(levels_to_input(np.load(digits)["images"], 17)).numpy()
    pairs = [(a < b) + (a == b) / 2 for a in theirs[0] for b in reference]
    assert float(found[0][1]) == pytest.approx(np.mean(pairs), abs=1e-4)
    with Pillow.open(tmp_path / "scores.png") as picture:
        assert picture.width > 3 * picture.height


def test_auroc_and_fpr_of_scores_made_by_hand():
    assert detect(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == (1.0, 0.0)
    assert detect(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == (0.0, 1.0)
    assert detect(np.ones(3), np.ones(5)) == (0.5, 1.0)
    # 3 of 4 pairs in order; to find both one must take one of the reference's two.
    assert detect(np.array([2.0, 4.0]), np.array([1.0, 3.0])) == (0.75, 0.5)
    # Of 20 images one may be missed.
    assert detect(np.array([0.0] + [5.0] * 19), np.arange(4.0)).fpr == 0.0
    assert detect(np.array([0.5] * 2 + [5.0] * 18), np.arange(4.0)).fpr == 0.75


def test_complexity_grows_with_disorder():
    flat, noise = np.zeros([16, 16, 1], np.uint8), random_image(16, 16, 1)
    gradient = np.add.outer(np.arange(16), np.arange(16))[..., None].astype(np.uint8)
    images = (flat, gradient, noise // 64, noise)
    sizes = [complexity_bits(each, 256) for each in images]
    assert 0 < sizes[0] <= sizes[1] < sizes[2] < sizes[3]
    assert 16 * 16 * 8 <= sizes[3] <= 16 * 16 * 8 + 64  # noise is stored as it is
    assert complexity_bits(noise % 2, 2) <= 16 * 16 + 64  # packed
    wide = np.random.default_rng(0).integers(0, 65536, (16, 16, 1))
    assert 16 * 16 * 16 <= complexity_bits(wide, 65536) <= 16 * 16 * 16 + 64
    assert complexity_bits(np.repeat(noise, 3, axis=-1), 256) < 3 * sizes[3]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--images="], "--images is missing"),
        (["--images={tmp}/none"], "--images={tmp}/none: no such file or folder"),
        (["--images=none.png"], "--images=none.png: no such file or folder"),
        (["--images=nnist"], "no such data set; did you mean mnist"),
        (["--images={tmp}/empty"], "no images here (.png, "),
        (["--images={tmp}/broken"], "{tmp}/broken/x.png: not a readable image ("),
        (["--images={tmp}/x.npz"], "--images={tmp}/x.npz: no such file"),
        (["--images={tmp}/float.npz"], "images is float64 (2, 8, 8), must be integers"),
        (["--images={tmp}/other.npz"], "has none of images, x_test, x_train, only ['z']"),
        (["--images={tmp}/bad.npz"], "not a readable .npz file ("),
        (["--images={tmp}/colour"], "c.png: the image has 3 channels, but the run in"),
        (["--images={tmp}/alpha"], "has transparency, which the models do not know; --alpha=drop"),
        (["--images={tmp}/levels"], "x.png has 256 levels per channel, the run in {run} has 17"),
        (["--images={tmp}/high.npz"], "images/0: levels must be integers in [0, 16], got 0 to 17"),
        (["--label=1"], "--label=1: the model is not class-conditional"),
        (["--batch_size=-1"], "--batch_size=-1"),
        (["--num_images=-1"], "--num_images=-1"),
        (["--workdir={tmp}"], "--workdir={tmp}: no run here"),
        (["--workdir="], "--workdir is missing"),
        (["--background={tmp}"], "--background={tmp}: no run here"),
        (["--background={run}"], "is the run of --workdir itself"),
        (
            ["--background={run}/../colour_run"],
            "models images of 4 levels, but the run of --workdir 17",
        ),
        (["--reference={tmp}/none/"], "--reference={tmp}/none/: no such file or folder"),
        (["--histogram=x.png"], "--histogram=x.png: needs --reference"),
        (["--reference=digits", "--histogram=x.y"], "--histogram=x.y: must end in one of ."),
        (["--output=x.txt"], "--output=x.txt: must end in .csv"),
        (["--images={tmp}/empty/../levels", "--maps={tmp}/levels/m"], "is in the folder of the"),
        (["--maps={tmp}/bad.npz"], "cannot write --maps={tmp}/bad.npz: File exists"),
        (
            ["--images={tmp}/levels", "--reference=digits", "--histogram={tmp}/levels/h.png"],
            "--histogram={tmp}/levels/h.png: the histogram would be written among the images",
        ),
        (
            [
                "--images=digits",
                "--reference=folder:{tmp}/split:test",
                "--histogram={tmp}/split/h.png",
            ],
            "--histogram={tmp}/split/h.png: the histogram would be written among the images",
        ),
        (
            ["--images={tmp}/levels/x.png", "--reference=digits", "--output={tmp}/levels/x.csv"],
            "--output={tmp}/levels/x.png: the histogram would be written among the images",
        ),
    ],
)
def test_refused(run, colour_run, digits, tmp_path, flags, message):
    for name in ("empty", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken/x.png").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "bad.npz").write_bytes(b"PK")
    np.savez(tmp_path / "float.npz", images=np.zeros([2, 8, 8]))
    np.savez(tmp_path / "other.npz", z=0)
    np.savez(tmp_path / "high.npz", images=np.eye(8, dtype=np.int32)[None] * 17)
    save_image(tmp_path / "colour/c.png", random_image(8, 8, 3))
    save_image(tmp_path / "alpha/a.png", random_image(8, 8, 4))
    save_image(tmp_path / "levels/x.png", random_image(8, 8, 1))
    for split in ("train", "test"):
        save_image(tmp_path / "split" / split / "x.png", random_image(8, 8, 1))
    names = {"tmp": tmp_path, "run": run}
    flags = [flag.format(**names) for flag in flags]
    defaults = [f"--workdir={run}", f"--images={digits}"]
    before = sorted(os.listdir(tmp_path))
    assert message.format(**names) in refusal(train.score, *defaults, *flags)
    assert sorted(os.listdir(tmp_path)) == before


def test_a_histogram_may_lie_beside_a_single_image(tmp_path):
    image = Images(f"--images={tmp_path}/a.png", "a.png", 1, None, str(tmp_path))
    train.score._check_not_among("output", f"{tmp_path}/scores.png", [image])
    with pytest.raises(UserError, match="would be written among the images"):
        train.score._check_not_among("output", f"{tmp_path}/a.png", [image])


def test_labels_are_asked_for(colour_run, tmp_path):
    save_image(tmp_path / "c.png", random_image(8, 8, 3))
    flags = [f"--workdir={colour_run}", f"--images={tmp_path}"]
    assert "c.png has no label, but the run in" in refusal(train.score, *flags)
    message = refusal(train.score, *flags, "--label=3")
    assert message.endswith("c.png has label 3, must be from 0 to 2")
    assert not os.listdir(colour_run / "scores")


def test_a_run_without_a_likelihood_is_refused_by_name(tmp_path):
    values = dict(config="tiny", nr_filters=4, energy_distance=True, num_stages=1)
    random_run(tmp_path / "run", DIGITS._replace(image_shape=(8, 8, 3)), 1, values)
    message = refusal(train.score, f"--workdir={tmp_path}/run", "--images=digits")
    assert "was trained for the energy_distance, which gives no likelihood" in message


def test_no_room_leaves_nothing(run, digits, tmp_path):
    flags = [f"--workdir={run}", f"--images={digits}", f"--output={tmp_path}/x.csv"]
    with largest_file(100):
        message = refusal(train.score, *flags)
        assert message == f"cannot write --output={tmp_path}/x.csv: File too large"
        assert os.listdir(tmp_path) == []
        message = refusal(train.score, *flags, f"--maps={tmp_path}/maps")
        assert message == f"cannot write --maps={tmp_path}/maps: File too large"
    assert [files for _, _, files in os.walk(tmp_path) if files] == []
