"""Packed weights: what `train.pack` writes, `pixelcnn_tf.pretrained` and every command read."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from calls import call, refusal
from small import GATED_RUN, config_of, copy_run, load_run, random_run, run_training

from pixelcnn_tf import pretrained
from pixelcnn_tf.layers.masked_convolution import MaskedConv2D
from pixelcnn_tf.levels import levels_to_input
from train import evaluate, export, pack, plot, sample, score
from train.data.load import load_configured
from train.errors import UserError
from train.report import __main__ as report
from train.run.pack import find_folder, output_folder

RUN = GATED_RUN | dict(init_batch_size=20, num_samples=0, eval_split="test[:40]")
LICENCE = "--data_licence=CC BY 4.0"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with random weights at step 0, as if it had been evaluated."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    random_run(workdir, load_configured(config_of(workdir, RUN)), seed=1, values=RUN)
    (workdir / "metrics.jsonl").write_text('{"step": 0, "test/bits_per_dim": 4.0}\n')
    return str(workdir)


@pytest.fixture(scope="module")
def packed(trained, tmp_path_factory):
    """It, packed; and what the command said."""
    folder = tmp_path_factory.mktemp("packed") / "model"
    said = call(pack, f"--workdir={trained}", f"--output={folder}", LICENCE, "--note=a test")
    return str(folder), said


def test_a_packed_folder_without_the_prefix(packed):
    with pytest.raises(UserError, match=f"packed weights; use pretrained:{re.escape(packed[0])}$"):
        load_run(packed[0])


def test_the_weights_are_the_averages_rounded(trained, packed):
    """And zeros where a mask hides them."""
    model, averaged = pretrained.load(packed[0]), load_run(trained).averaged
    layers = [x for x in averaged._flatten_layers() if isinstance(x, MaskedConv2D)]
    masks = {layer.kernel.path: layer.mask for layer in layers}
    assert any((mask == 0).any() for mask in masks.values())
    for mine, source in zip(model.trainable_variables, averaged.trainable_variables, strict=True):
        rounded = source.numpy().astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(mine.numpy(), rounded * masks.get(source.path, 1))


def test_the_card_says_what_evaluate_says(packed):
    """What is printed beside the figure gives the figure again."""
    folder, said = packed
    card = pretrained.card(folder)
    scores = card["scores"]["test[:40]"]
    assert card["step"] == 0 and card["data_licence"] == "CC BY 4.0" and card["note"] == "a test"
    assert scores["images"] == 40 and f"nats {scores['nats']:.6g}" in said
    again = call(evaluate, f"--workdir=pretrained:{folder}")
    told = f"{scores['nats']:.3f} nats/image, {scores['bits_per_dim']:.4f} bits_per_dim"
    assert f"averaged weights: {told}" in again
    assert "raw" not in again


def test_the_last_of_the_splits_is_what_evaluate_scores(trained, tmp_path):
    """One trained with --eval_split=validation is packed with its test score, to be found again."""
    flags = [f"--output={tmp_path}/model", LICENCE, "--splits=train[:20],test[:30]"]
    call(pack, f"--workdir={trained}", *flags)
    scores = pretrained.card(f"{tmp_path}/model")["scores"]
    assert [scores[split]["images"] for split in ("train[:20]", "test[:30]")] == [20, 30]
    told = call(evaluate, f"--workdir=pretrained:{tmp_path}/model")
    assert f"{scores['test[:30]']['nats']:.3f} nats/image" in told and "warning" not in told


def test_what_a_score_hides_is_told(trained, tmp_path):
    """That images were trained on, and that the data set is not that of the training."""
    config = f"{trained}/config.json"
    flags = [f"--output={tmp_path}/model", LICENCE, "--splits=train[:20]"]
    told = "20 of the 20 scored images are trained on too"
    assert told in call(pack, f"--workdir={trained}", *flags)
    assert pretrained.card(f"{tmp_path}/model")["scores"]["train[:20]"]["note"].startswith(told)
    fields = json.loads(Path(config).read_text())
    copy_run(trained, tmp_path / "run")
    fields["read"] = {"num_train": 1504, "num_scored": 40}
    (tmp_path / "run" / "config.json").write_text(json.dumps(fields))
    changed = "warning: --dataset=digits has 1,497 training images and 40 to score, but the run"
    assert changed in call(evaluate, f"--workdir={tmp_path}/run")
    assert "warning" not in call(evaluate, f"--workdir={trained}")


def test_a_report_shows_the_split_that_is_scored(trained, tmp_path):
    """The log is of validation, as training was judged; the figure is of test."""
    folder = f"{tmp_path}/model"
    call(pack, f"--workdir={trained}", f"--output={folder}", LICENCE, "--splits=test[:30]")
    log = Path(folder) / "metrics.jsonl"
    log.write_text('{"step": 0, "validation/bits_per_dim": 3.5}\n')
    output = tmp_path / "report.html"
    flags = [f"--workdir=pretrained:{folder}", f"--output={output}"]
    call(report, *flags, "--num_images=1", "--num_samples=0")
    page = output.read_text()
    figure = f"{pretrained.card(folder)['scores']['test[:30]']['bits_per_dim']:.4f}"
    assert re.search(rf"bits/dim, test\[:30\]</dt>\s*<dd>{figure}", page)
    assert "validation, averaged weights" in page
    assert (
        "--output=" not in page and "pretrained:" not in page.split("<pre>")[1].split("</pre>")[0]
    )


def test_nothing_of_the_machine_is_packed(trained, packed):
    """Neither its folders nor an unfinished folder beside it."""
    folder, _ = packed
    config = json.loads((Path(folder) / "config.json").read_text())
    assert config["workdir"] == config["data_dir"] == ""
    assert trained not in json.dumps(pretrained.card(folder))
    parent = Path(folder).parent
    assert [path.name for path in parent.iterdir()] == ["model"]


def test_commands_take_it(packed, tmp_path, monkeypatch):
    """Each writes into runs/pretrained-model, not into the package."""
    monkeypatch.chdir(tmp_path)
    folder, _ = packed
    workdir = f"--workdir=pretrained:{folder}"
    before = sorted(path.name for path in Path(folder).iterdir())
    call(plot, workdir)
    call(sample, workdir, "--num_samples=2")
    call(sample, workdir, "--complete=top", "--num_samples=1", "--num_completions=1")
    call(score, workdir, "--images=digits:test", "--num_images=2")
    call(export, workdir, f"--output={tmp_path}/served")
    card = json.loads((tmp_path / "served/model_card.json").read_text())
    scores = pretrained.card(folder)["scores"]["test[:40]"]
    told = {f"test[:40]/{name}": value for name, value in scores.items()}
    assert card["test"] == {"step": 0} | told  # not the 4.0 of the log, which rounding has changed
    made = tmp_path / "runs/pretrained-model"
    names = sorted(path.relative_to(made).as_posix() for path in made.rglob("*.*"))
    assert names == [
        "curve.png",
        "samples/completion_0000000_top_n1_x1.npz",
        "samples/completion_0000000_top_n1_x1.png",
        "samples/sample_0000000_n2.npz",
        "samples/sample_0000000_n2.png",
        "scores/digits_test_n2_0000000.csv",
    ]
    assert before == sorted(path.name for path in Path(folder).iterdir())
    assert "averaged weights only" in refusal(sample, workdir, "--noaveraged")


def test_a_run_starts_from_it(packed, tmp_path):
    """The raw weights and their averages are those of the folder, then training moves them."""
    folder, _ = packed
    source = pretrained.load(folder)
    values = RUN | dict(init_from=f"pretrained:{folder}", learning_rate=1e-30, eval_interval=0)
    run_training(config_of(tmp_path, values, max_steps=1))
    run = load_run(str(tmp_path))
    for raw, averaged, given in zip(
        run.raw.trainable_variables,
        run.averaged.trainable_variables,
        source.trainable_variables,
        strict=True,
    ):
        np.testing.assert_array_equal(raw.numpy(), given.numpy())
        np.testing.assert_allclose(averaged.numpy(), given.numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(nr_filters=8), "there, [4, 7, 1, 16] here; give the flags of the model there"),
        (dict(model="pixelcnn_pp", num_head_filters=None), "is a gated_pixelcnn, but --model=pix"),
        (dict(quantize=5), "num_levels 5, but --init_from="),
        (dict(init_from="pretrained:nothing"), "init_from=pretrained:nothing: must be one of"),
    ],
)
def test_what_cannot_start_from_it(packed, tmp_path, changes, message):
    values = RUN | dict(init_from=f"pretrained:{packed[0]}") | changes
    values = {name: value for name, value in values.items() if value is not None}
    with pytest.raises(UserError) as error:
        run_training(config_of(tmp_path, values))
    assert message in str(error.value)


def damaged(folder, target, name, content):
    copy_run(folder, target)
    (target / name).write_bytes(content)
    return target


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("weights.npz", b"PK", "its SHA-256 differs from card.json"),
        ("card.json", b"{", "not a model card"),
        ("card.json", b"[]", "not a model card"),
        ("card.json", b'{"model": {"class_name": "A"}, "weights_sha256": ""}', "not a model"),
    ],
)
def test_damage_is_one_sentence(packed, tmp_path, name, content, message):
    folder = damaged(packed[0], tmp_path, name, content)
    with pytest.raises(ValueError) as error:
        pretrained.load(folder)
    assert message in str(error.value) and str(folder) in str(error.value)
    assert "\n" not in str(error.value)
    assert message in refusal(evaluate, f"--workdir=pretrained:{folder}")


def test_weights_of_another_model(packed, tmp_path):
    """Named, although the file itself is whole."""
    copy_run(packed[0], tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    card["model"]["config"]["nr_filters"] = 8
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="does not fit the model in card.json"):
        pretrained.load(tmp_path)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="must be one of .*digits"):
        pretrained.load("nothing")
    said = refusal(evaluate, "--workdir=pretrained:nothing")
    assert "must be one of" in said and "pretrained:digits" in said


def test_where_things_go():
    assert find_folder("runs/x") == output_folder("runs/x") == "runs/x"
    assert find_folder("pretrained:./x/y") == "./x/y"
    assert output_folder("pretrained:./x/y/") == "runs/pretrained-y"


def test_no_run_is_written_into_the_package():
    with pytest.raises(UserError, match="init_from=pretrained:digits starts a run"):
        run_training(config_of("pretrained:digits", RUN))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output={tmp}/x"], "--data_licence is missing"),
        ([LICENCE], "--output is missing"),
        ([LICENCE, "--output={tmp}"], "exists; give another folder"),
        ([LICENCE, "--output={tmp}/x", "--splits=test,nonsense"], "nonsense"),
    ],
)
def test_pack_refuses(trained, tmp_path, flags, message):
    flags = [flag.format(tmp=tmp_path) for flag in flags]
    assert message in refusal(pack, f"--workdir={trained}", *flags)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", pretrained.names())
def test_every_model_in_the_box(name):
    """It loads, its card has what a user must know, its samples are images."""
    card, model = pretrained.card(name), pretrained.load(name)
    assert card["data_licence"] and card["command"].startswith("python -m train.main")
    assert card["scores"] and card["parameters"] == model.count_params()
    assert "/work" not in json.dumps(card)
    parameters = model(np.zeros([1, *model.image_shape], np.float32))
    assert np.isfinite(parameters.numpy()).all()


# Nats of two images of noise (see `noise_for`), computed when the weights were packed or, for
# those before 2026-11-26, on that day: what saved weights mean may not change.
NATS = {
    "binarized_mnist": [1035.84, 1060.51],
    "binarized_mnist_diagonal_bilstm": [1497.11, 1606.44],
    "binarized_mnist_gated_pixelcnn": [1388.71, 1571.45],
    "binarized_mnist_pixelcnn": [850.62, 913.28],
    "binarized_mnist_row_lstm": [1846.97, 1982.5],
    "cifar10_part": [20462.52, 20454.81],
    "digits": [281.38, 299.8],
    "mnist": [7449.75, 7952.09],
    "mnist_4_levels": [3186.33, 2939.73],
}


def noise_for(model):
    generator = np.random.default_rng(0)
    return generator.integers(0, model.num_levels, [2, *model.image_shape])


@pytest.mark.parametrize("name", pretrained.names())
def test_weights_mean_what_they_meant(name):
    model = pretrained.load(name)
    values = levels_to_input(noise_for(model), model.num_levels)
    np.testing.assert_allclose(-model.log_prob(values), NATS[name], rtol=1e-4)


@pytest.mark.slow
def test_the_figure_of_digits():
    assert "averaged weights: 78.333 nats/image" in call(evaluate, "--workdir=pretrained:digits")


def test_a_run_starts_from_the_averages_of_another(trained, tmp_path):
    source = load_run(trained)
    values = RUN | dict(init_from=trained, learning_rate=1e-30, eval_interval=0)
    run_training(config_of(tmp_path, values, max_steps=1))
    pairs = zip(
        load_run(str(tmp_path)).raw.trainable_variables,
        source.averaged.trainable_variables,
        source.raw.trainable_variables,
        strict=True,
    )
    for here, averaged, raw in pairs:
        np.testing.assert_array_equal(here.numpy(), averaged.numpy())
        assert (here.numpy() != raw.numpy()).any()
