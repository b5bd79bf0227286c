"""The whole program with every model: training, resume, evaluation, samples, quantised data."""

import json

import numpy as np
import pytest
import tensorflow as tf
from family import FAMILY
from small import (
    config_of,
    load_run,
    run_of,
    run_program,
    run_training,
    small_encoder,
    write_config,
)

from pixelcnn_tf.levels import input_to_levels, levels_to_input, quantize_levels
from train.config.models import MODELS, make_model
from train.config.presets import PRESETS, from_values
from train.data.dataset import Dataset, quantize
from train.data.description import DataDescription
from train.data.load import load, load_configured
from train.data.options import DataOptions
from train.data.splits import StreamedSplit
from train.errors import UserError
from train.main import train
from train.run import Run, config_json
from train.sampling.samples import write_completions, write_samples
from train.training.trainer import Trainer

EVERY = pytest.mark.parametrize("name", FAMILY)
# Beside them: models given maps and vectors, a VQ-VAE with either codebook, and its prior, a Gated
# PixelCNN.
VQ_VAE = dict(num_embeddings=12, embedding_dim=4, reset_unused_after=2)
SMALL, VECTOR = dict(condition="small:2"), dict(condition="vector")
OTHERS = {f"{name}, small": SMALL for name in ("gated_pixelcnn", "pixelcnn_pp")}
OTHERS |= {f"{name}, vector": VECTOR for name in ("gated_pixelcnn", "pixelcnn_pp")}
OTHERS |= {"vq_vae": VQ_VAE, "vq_vae, ema": VQ_VAE | dict(codebook_update="ema"), "prior": {}}
EVERY_RUN = pytest.mark.parametrize("name", [*FAMILY, *OTHERS])
MINI = dict(
    config="tiny",
    nr_resnet=1,
    nr_filters=6,
    batch_size=50,
    max_steps=4,
    log_interval=1,
    checkpoint_interval=2,
    eval_interval=0,
    num_samples=2,
)


def mini(name, workdir, **changes):
    """The configuration of a short run; of a prior, the VQ-VAE is trained first, and of one that is
    given vectors, the Keras model is made."""
    if name == "prior":
        vq_vae = workdir.parent / "vq_vae"
        if not vq_vae.exists():
            run_training(mini("vq_vae", vq_vae, num_samples=0))
        name, changes = "gated_pixelcnn", dict(dataset=f"codes:{vq_vae}") | changes
    options = OTHERS.get(name, {})
    if options == VECTOR:
        file = workdir.parent / "encoder.keras"
        if not file.exists():
            small_encoder((8, 8, 1)).save(file)
        options = dict(condition=f"embedding:{file}")
    return config_of(workdir, MINI | options, model=name.split(",")[0], **changes)


def weights(workdir):
    _, model, averaged, _ = load_run(str(workdir))
    return model.get_weights() + averaged.get_weights()  # with what `learn` moves


@EVERY
def test_run_evaluation_samples_and_completions(name, tmp_path, capsys):
    scores = run_training(mini(name, tmp_path, quantize=2, num_samples=0))
    output = capsys.readouterr().out
    assert "2 levels, floor(x * 2 / 17)" in output and "nats/image" in output
    config, _, averaged, step = load_run(str(tmp_path))
    dataset = run_of(config).dataset()
    assert step == 4 and averaged.num_levels == dataset.num_levels == 2
    images = levels_to_input(dataset.eval.images, 2)
    nats = np.mean(averaged.likelihood.loss(images, averaged(images)))
    np.testing.assert_allclose(scores["averaged"], nats / (64 * np.log(2)), rtol=1e-5)
    # Hardly trained: near the one bit of two equal levels.
    assert 0.5 < scores["raw"] < 1.1

    write_samples(averaged, 2, seed=1, path=str(tmp_path / "grid"))
    with np.load(tmp_path / "grid.npz") as file:
        assert file["images"].shape == (2, 8, 8, 1) and set(np.unique(file["images"])) == {0, 1}
    write_completions(averaged, dataset, "top", 2, 2, seed=1, path=str(tmp_path / "completed"))
    with np.load(tmp_path / "completed.npz") as file:
        np.testing.assert_array_equal(file["images"][:, :4], file["originals"][:, :4])


@pytest.mark.slow
@EVERY_RUN
def test_continued_run_ends_at_the_same_numbers(name, tmp_path):
    run_training(mini(name, tmp_path / "whole", num_samples=0))
    for max_steps in (2, 4):
        run_training(mini(name, tmp_path / "parts", max_steps=max_steps, num_samples=0))
    for mine, others in zip(weights(tmp_path / "whole"), weights(tmp_path / "parts"), strict=True):
        np.testing.assert_array_equal(mine, others)


@pytest.mark.slow
@EVERY_RUN
def test_two_replicas_and_xla_equal_one(name, tmp_path):
    """The same global batches on one device, on two, and compiled with XLA.

    PixelCNN++ given vectors without XLA: its losses agree to 1e-6 there too, but a few weights with
    hardly a gradient, which Adam enlarges, to 2e-4 (as with classes)."""
    config = mini(name, tmp_path / "run")
    run_of(config).prepare_codes()
    dataset = load_configured(config)
    one = tf.distribute.OneDeviceStrategy("CPU:0")
    # No collectives: those of several strategies in one process take each other's numbers.
    mirrored = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )
    results = []
    ways = [
        (one, dict(batch_size=20)),
        (mirrored, dict(batch_size=10)),
        (one, dict(batch_size=20, jit_compile=True)),
    ]
    for strategy, changes in ways[:2] if name == "pixelcnn_pp, vector" else ways:
        trainer = Trainer(run_of(mini(name, tmp_path / "run", **changes)), dataset, strategy)
        trainer.initialize()
        batches = strategy.experimental_distribute_dataset(dataset.train.epoch(0, 20, seed=1))
        losses = trainer.train_steps(iter(batches), 4)
        results.append((losses, [v.numpy() for v in trainer.model.variables]))
    for losses, values in results[1:]:
        np.testing.assert_allclose(losses, results[0][0], rtol=1e-5)
        for mine, theirs in zip(values, results[0][1], strict=True):
            assert np.abs(mine - theirs).max() <= 1e-4 * np.abs(theirs).max()


@pytest.mark.slow
@EVERY
def test_bfloat16_run(name, tmp_path):
    """An epoch in bfloat16 learns as much as one in float32."""
    untrained, exact, coarse = (
        run_training(
            mini(
                name,
                tmp_path / dtype / str(max_steps),
                num_samples=0,
                quantize=2,
                dtype=dtype,
                max_steps=max_steps,
            )
        )["raw"]
        for dtype, max_steps in (("float32", 1), ("float32", 29), ("mixed_bfloat16", 29))
    )
    learnt = untrained - exact
    assert learnt > 0.1
    assert 0 < abs(coarse - exact) < 0.1 * learnt


@pytest.mark.slow
@EVERY
def test_programs(name, tmp_path):
    flags = [f"--{key}={value}" for key, value in MINI.items()]
    workdir = f"--workdir={tmp_path}"
    for program, arguments, told in [
        ("main", [f"--model={name}", "--quantize=16", *flags], "starting at step 0 of 4"),
        ("main", [f"--model={name}", "--quantize=16", *flags], "resuming at step 4"),
        ("evaluate", [], "16 levels, floor(x * 16 / 17)"),
        ("sample", ["--num_samples=3"], "3 samples in"),
        ("sample", ["--num_samples=2", "--complete=left"], "12 samples in"),
        ("export", [f"--output={tmp_path}/models/digits"], "signatures: serving_default"),
    ]:
        result = run_program(program, workdir, *arguments)
        assert result.returncode == 0, result.stderr
        assert told in result.stdout


# The registry and its flags


def test_presets_of_pixelcnn_pp_are_what_they_were():
    sizes = {
        name: tuple(getattr(from_values({"config": name}), f"nr_{f}") for f in fields)
        for name, fields in {
            n: ("resnet", "filters", "logistic_mix") for n in ("tiny", "small", "paper")
        }.items()
    }
    assert sizes == {"tiny": (1, 24, 5), "small": (2, 32, 5), "paper": (5, 160, 10)}
    assert from_values({"config": "tiny", "dataset": "mnist"}).workdir == "runs/mnist-tiny"
    gated = from_values({"config": "tiny", "dataset": "mnist", "model": "gated_pixelcnn"})
    assert gated.workdir == "runs/mnist-gated_pixelcnn-tiny" and gated.learning_rate == 0.003


@pytest.mark.parametrize(
    "condition, name",
    [
        ("grey", "cifar10-grey-tiny"),
        ("small:4", "cifar10-small4-tiny"),
        ("embedding:models/faces.keras", "cifar10-embedding_faces-tiny"),
    ],
)
def test_runs_with_a_condition_have_folders_of_their_own(condition, name):
    values = {"config": "tiny", "dataset": "cifar10", "condition": condition}
    assert from_values(values).workdir == f"runs/{name}"
    config = from_values(values | {"model": "gated_pixelcnn"})
    assert config.workdir == f"runs/{name.replace('10-', '10-gated_pixelcnn-')}"


def test_every_model_has_every_preset_and_builds():
    description = DataDescription((4, 4, 1), 17, 10)
    for name, entry in MODELS.items():
        assert set(entry.sizes) == set(PRESETS)
        model = make_model(from_values({"config": "tiny", "model": name}), description)
        assert model.num_levels == 17
        assert model.likelihood.metric == ("mse" if name == "vq_vae" else "bits_per_dim")
        assert type(model).__name__ == entry.path.split(":")[1]


@pytest.mark.parametrize(
    "values, message",
    [
        ({"model": "pixelsnail"}, "--model=pixelsnail: must be one of pixelcnn_pp, pixelcnn"),
        ({"model": "pixelcnn", "nr_logistic_mix": 5}, "--nr_logistic_mix=5: --model=pixelcnn"),
        ({"model": "row_lstm", "class_conditional": True}, "--class_conditional=True: --model=row"),
        ({"model": "gated_pixelcnn", "energy_distance": True}, "--energy_distance=True"),
        ({"model": "gated_pixelcnn", "dropout_p": 0.2}, "--dropout_p=0.2"),
        ({"model": "pixelcnn", "remat": True}, "--remat=True: --model=pixelcnn has none"),
        ({"model": "pixelcnn_pp", "num_head_filters": 9}, "--num_head_filters=9"),
        ({"model": "diagonal_bilstm", "input_embedding": True}, "--input_embedding=True"),
        (
            {"model": "pixelcnn", "num_embeddings": 9},
            "--num_embeddings=9: --model=pixelcnn has none",
        ),
        (
            {"model": "vq_vae", "num_embeddings": 10**6},
            "--num_embeddings=1000000: must be from 2 to",
        ),
        ({"model": "pixelcnn", "condition": "grey"}, "--condition=grey: --model=pixelcnn has none"),
        ({"condition": "small:1"}, "--condition=small:1: must be grey, small:N with N from 2"),
        ({"condition": "embedding:"}, "--condition=embedding:: must be grey, small:N"),
        ({"condition": "embedding:model"}, "--condition=embedding:model: must be grey, small:N"),
        ({"condition": "small:2", "class_conditional": True}, "--class_conditional=True: excludes"),
        ({"condition": "grey", "energy_distance": True}, "--energy_distance=True: excludes"),
        (
            {"dataset": "codes:run", "model": "gated_pixelcnn", "condition": "small:2"},
            "--condition=small:2: is computed from intensities",
        ),
        ({"dataset": "codes:run", "random_flip": True}, "--random_flip=True: --dataset=codes:run"),
        ({"num_levels": 1}, "--num_levels=1: must be 0, or 2 to 65536"),
        ({"num_levels": 65537}, "--num_levels=65537"),
        (
            {"model": "gated_pixelcnn", "num_levels": 4, "input_embedding": True},
            "--num_levels=4: with --input_embedding",
        ),
    ],
)
def test_flags_that_a_model_has_not_are_named(values, message):
    with pytest.raises(UserError, match=message.removeprefix("--")):
        from_values(values)
    assert from_values({"model": "pixelcnn", "class_conditional": False}).model == "pixelcnn"


def test_configuration_of_an_older_run_is_read(tmp_path):
    config = from_values({"workdir": str(tmp_path), "config": "tiny"})
    write_config(config, DataDescription((8, 8, 1), 17, 10))
    path = tmp_path / "config.json"
    fields = json.loads(path.read_text())
    for field in ("model", "num_levels", "num_head_filters", "input_embedding"):
        del fields[field]
    path.write_text(json.dumps(fields))
    assert Run.open(str(tmp_path)).saved[0] == config
    saved = Run.open(str(tmp_path)).saved
    config_json.check_config_matches(saved, config)
    with pytest.raises(UserError, match="model is 'pixelcnn_pp' there, 'pixelcnn' here"):
        config_json.check_config_matches(saved, config.replace(model="pixelcnn"))


@pytest.mark.slow  # of codes of 4x5: below
def test_a_run_on_images_of_an_odd_size(tmp_path):
    path = str(tmp_path / "odd.npz")
    images = np.random.default_rng(1).integers(0, 3, [60, 6, 5])
    np.savez(path, x_train=images, x_test=images[:10])
    scores = train(mini("pixelcnn", tmp_path / "b", dataset=path, max_steps=1))
    assert np.isfinite(scores["raw"])


# Quantised data


@pytest.mark.parametrize("num_levels", [2, 3, 4, 8, 16, 17, 32, 64, 100, 128, 255, 256])
def test_quantisation_and_its_values_are_exact(num_levels):
    levels = np.arange(256, dtype=np.uint8)
    quantised = quantize_levels(levels, 256, num_levels)
    assert quantised.dtype == np.uint8
    np.testing.assert_array_equal(quantised, [int(x) * num_levels // 256 for x in levels])
    assert set(quantised) == set(range(num_levels)) and (np.diff(quantised.astype(int)) >= 0).all()
    assert np.ptp(np.bincount(quantised)) <= 1  # as many values for each level as can be
    np.testing.assert_array_equal(quantize_levels(tf.constant(levels), 256, num_levels), quantised)
    inputs = levels_to_input(quantised, num_levels)
    np.testing.assert_array_equal(input_to_levels(inputs, num_levels), quantised)


def test_levels_are_exactly_invertible_for_every_number_of_levels():
    for num_levels in range(2, 257):
        levels = np.arange(num_levels)
        inputs = levels_to_input(levels, num_levels)
        np.testing.assert_array_equal(input_to_levels(inputs, num_levels), levels)


def test_quantised_data_sets():
    plain, binary = load("digits"), load("digits", options=DataOptions(quantize=2))
    np.testing.assert_array_equal(binary.train.images, plain.train.images >= 9)  # 9 * 2 / 17 > 1
    np.testing.assert_array_equal(binary.eval.labels, plain.eval.labels)
    assert binary.num_levels == 2 and "17 grey levels" in binary.note
    assert "2 levels, floor(x * 2 / 17)" in binary.note
    assert load("digits", options=DataOptions(quantize=17)).note == plain.note
    with pytest.raises(UserError, match="quantize=32: --dataset=digits has only 17"):
        load("digits", options=DataOptions(quantize=32))


def test_streamed_data_is_quantised():
    images = np.arange(200, dtype=np.uint8).reshape(50, 2, 2, 1)
    split = StreamedSplit(
        lambda seed: tf.data.Dataset.from_tensor_slices({"images": images}), 50, (2, 2, 1)
    )
    dataset = Dataset("streamed", (2, 2, 1), 256, None, split, split)
    batch = next(iter(quantize(dataset, 4).eval.in_order(50)))
    np.testing.assert_array_equal(batch["images"], images // 64)


# Maps of codes


def write_codes(path, num_codes, **arrays):
    rng = np.random.default_rng(1)
    codes = rng.integers(0, num_codes, [80, 4, 5])
    codes[0, 0, 0] = num_codes - 1
    np.savez(path, x_train=codes, x_test=codes[:20], **arrays)
    return codes


def test_maps_of_codes(tmp_path):
    path = str(tmp_path / "codes.npz")
    codes = write_codes(path, 500)
    dataset = load(path)
    assert dataset.num_levels == 500 and dataset.image_shape == (4, 5, 1)
    np.testing.assert_array_equal(dataset.train.images[..., 0], codes)
    write_codes(path, 500, num_levels=512)
    assert load(path).num_levels == 512
    write_codes(path, 500, num_levels=400)
    with pytest.raises(UserError, match="to 499, must be 0 to 399"):
        load(path)


def test_prior_of_codes(tmp_path):
    """Gated PixelCNN with an embedding of each code, as a prior for a VQ-VAE."""
    path = str(tmp_path / "codes.npz")
    write_codes(path, 300, num_levels=512)
    config = mini(
        "gated_pixelcnn", tmp_path / "run", dataset=path, input_embedding=True, batch_size=20
    )
    scores = train(config)
    assert 8.0 < scores["raw"] < 9.5  # 512 codes are 9 bits
    with np.load(tmp_path / "run" / "samples" / "step_0000004.npz") as file:
        assert file["images"].dtype == np.uint16 and file["images"].shape == (2, 4, 5, 1)
        assert 256 < file["images"].max() < 512
    assert (tmp_path / "run" / "samples" / "step_0000004.png").exists()
    _, model, _, _ = load_run(str(tmp_path / "run"))
    assert model.embedding.embeddings.shape == [512, 6]


@pytest.mark.slow
def test_class_conditional_run(tmp_path):
    config = mini("gated_pixelcnn", tmp_path, class_conditional=True, max_steps=2)
    assert np.isfinite(train(config)["averaged"])
    with np.load(tmp_path / "samples" / "step_0000002.npz") as file:
        np.testing.assert_array_equal(file["labels"], [0, 1])
