"""A VQ-VAE and its prior through the whole program: codes, samples, completions, export, errors."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from calls import call, refusal
from PIL import Image
from serving_stand_in import SessionModel
from small import config_of, load_run, run_of, run_training

import train.compress
import train.evaluate
import train.sample
import train.score
from pixelcnn_tf import sampling
from pixelcnn_tf.levels import levels_to_input
from train.config.presets import from_values
from train.data.load import load
from train.data.options import DataOptions
from train.errors import UserError
from train.export import export
from train.main import train as train_run
from train.run.checkpoints import Checkpoints
from train.run.codes import fingerprint_of
from train.training.trainer import Trainer

SIZES = dict(config="tiny", nr_resnet=1, nr_filters=6, batch_size=50, eval_interval=0)
SIZES |= dict(max_steps=4, log_interval=2, num_samples=3)
VQ_VAE = dict(
    model="vq_vae",
    num_embeddings=12,
    embedding_dim=4,
    codebook_update="ema",
    reset_unused_after=2,
)
PRIOR = dict(model="gated_pixelcnn", num_head_filters=8, class_conditional=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of two runs, vq_vae and prior."""
    folder = tmp_path_factory.mktemp("runs")
    run_training(config_of(folder / "vq_vae", SIZES | VQ_VAE))
    run_training(config_of(folder / "prior", SIZES | PRIOR, dataset=f"codes:{folder}/vq_vae"))
    return folder


def test_scores_and_pictures_of_reconstructions(runs):
    lines = (runs / "vq_vae" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    scored = rows[-1]
    names = {"mse", "psnr", "perplexity", "dead_codes", "loss_per_image"}
    assert {f"test/{n}{raw}" for n in names for raw in ("", "_raw")} <= set(scored)
    assert "train/loss" in rows[0] and "train/mse" not in rows[0]
    model = load_run(str(runs / "vq_vae"))[2]
    levels = load("digits").eval.images
    found = model.decode_to_levels(model.encode(levels_to_input(levels, 17))).numpy()
    mse = np.mean(((found - levels.astype(int)) / 16) ** 2)
    assert scored["test/mse"] == pytest.approx(mse, rel=1e-5)
    with np.load(runs / "vq_vae" / "samples" / "step_0000004.npz") as file:
        np.testing.assert_array_equal(file["originals"], levels[:3])
        np.testing.assert_array_equal(file["images"], found[:3])
        assert file["codes"].shape == (3, 2, 2)
    assert (runs / "vq_vae" / "samples" / "step_0000004.png").exists()
    told = call(train.evaluate, f"--workdir={runs}/vq_vae")
    assert f"{mse:.4f} mse, psnr" in told and "dead_codes" in told


def test_codes_are_those_of_the_data_set(runs):
    vq_vae = load_run(str(runs / "vq_vae"))[2]
    dataset, digits = load(f"codes:{runs}/vq_vae"), load("digits")
    assert dataset.image_shape == (2, 2, 1) and dataset.num_levels == 12
    assert dataset.num_classes == 10 and dataset.fingerprint == fingerprint_of(vq_vae)
    for codes, images in ((dataset.train, digits.train), (dataset.eval, digits.eval)):
        expected = vq_vae.encode(levels_to_input(images.images, 17))
        np.testing.assert_array_equal(codes.images[..., 0], expected)
        np.testing.assert_array_equal(codes.labels, images.labels)


def test_samples_of_the_prior_are_decoded(runs):
    config, _, prior, _ = load_run(str(runs / "prior"))
    vq_vae = run_of(config).load_decoder()
    with np.load(runs / "prior" / "samples" / "step_0000004.npz") as file:
        assert file["images"].shape == (3, 8, 8, 1) and file["num_levels"] == 17
        assert file["codes"].shape == (3, 2, 2)
        np.testing.assert_array_equal(vq_vae.decode(file["codes"][..., None]), file["images"])
        codes = sampling.sample(prior, 3, seed=config.seed, labels=file["labels"])
        np.testing.assert_array_equal(file["codes"], np.round((codes[..., 0] + 1) * 5.5))
    call(train.sample, f"--workdir={runs}/prior", "--height=13", f"--output={runs}/high")
    with np.load(runs / "high.npz") as file:
        assert file["images"].shape == (16, 13, 8, 1) and file["codes"].shape == (16, 4, 2)


def test_completions_are_those_of_codes(runs):
    flags = ["--complete=top", "--num_samples=2", "--num_completions=3"]
    call(train.sample, f"--workdir={runs}/prior", *flags, f"--output={runs}/completed")
    codes = load(f"codes:{runs}/vq_vae").eval.images[:2, ..., 0]
    with np.load(runs / "completed.npz") as file:
        assert file["images"].shape == file["originals"].shape == (6, 8, 8, 1)
        np.testing.assert_array_equal(file["codes"][:, :1], codes.repeat(3, axis=0)[:, :1])


@pytest.mark.slow
def test_exported_models(runs):
    config, _, prior, _ = load_run(str(runs / "prior"))
    vq_vae = run_of(config).load_decoder().model
    images = load("digits").eval.images[:3]
    codes = vq_vae.encode(levels_to_input(images, 17))
    served = SessionModel(export(str(runs / "vq_vae"), str(runs / "models" / "vq_vae")))
    np.testing.assert_array_equal(served("encode", {"images": images})["codes"], codes)
    decoded = served("decode", {"codes": codes.numpy()})["images"]
    np.testing.assert_array_equal(decoded, vq_vae.decode_to_levels(codes))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"codes: must be in 0 \.\.\. 11"):
        served("decode", {"codes": np.full([1, 2, 2], 12, np.int32)})

    folder = export(str(runs / "prior"), str(runs / "models" / "prior"))
    served, labels = SessionModel(folder), np.array([0, 1, 2], np.int32)
    seeds = np.array([[1, 2], [-3, 4], [5, 600]], np.int32)
    drawn = served("sample", {"seeds": seeds, "labels": labels})
    values = sampling.sample(prior, 3, seed=seeds, labels=labels)
    np.testing.assert_array_equal(drawn["codes"], np.round((values[..., 0] + 1) * 5.5))
    np.testing.assert_array_equal(drawn["images"], vq_vae.decode_to_levels(drawn["codes"]))
    mask = np.zeros([3, 2, 2], np.uint8)
    mask[:, 0] = 1
    given = {"images": images, "mask": mask, "seeds": seeds, "labels": labels}
    np.testing.assert_array_equal(served("complete", given)["codes"][:, 0], codes[:, 0])
    nats = prior.log_prob(levels_to_input(codes[..., None], 12), labels)
    scored = served("score", {"images": images, "labels": labels})
    np.testing.assert_allclose(scored["log_prob"], nats, rtol=1e-5)
    with open(os.path.join(os.path.dirname(folder), "model_card.json")) as file:
        card = json.load(file)
    assert card["image_shape"] == [8, 8, 1] and card["vq_vae"]["codes_shape"] == [2, 2]


def test_moving_averages_of_two_replicas_are_those_of_one(tmp_path):
    """Codebook, counts and a restart, after three steps of the same global batches."""
    dataset = load("digits")
    mirrored = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )
    results = []
    for strategy, batch_size in ((tf.distribute.OneDeviceStrategy("CPU:0"), 20), (mirrored, 10)):
        config = config_of(tmp_path, SIZES | VQ_VAE, batch_size=batch_size)
        trainer = Trainer(run_of(config), dataset, strategy)
        trainer.initialize()
        codebook = trainer.model.quantizer
        far = codebook.embeddings.numpy()
        far[3] = 100.0
        codebook.embeddings.assign(far)
        codebook.sums.assign(far)
        batches = strategy.experimental_distribute_dataset(dataset.train.epoch(0, 20, seed=1))
        trainer.train_steps(iter(batches), 3)
        assert np.abs(codebook.embeddings[3]).max() < 10  # it was dead, and is restarted
        models = trainer.model, trainer.averaged_model
        results.append([v.numpy() for model in models for v in model.non_gradient_variables])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


def test_a_codebook_is_in_the_checkpoints(runs):
    _, model, averaged, _ = load_run(str(runs / "vq_vae"))
    prefix = tf.train.latest_checkpoint(str(runs / "vq_vae" / "checkpoints"))
    reader = tf.train.load_checkpoint(prefix)
    for part, each in (("state", model), ("averaged_state", averaged)):
        assert len(each.non_gradient_variables) == 5
        for number, variable in enumerate(each.non_gradient_variables):
            stored = reader.get_tensor(f"{part}/{number}/.ATTRIBUTES/VARIABLE_VALUE")
            np.testing.assert_array_equal(variable, stored)


def test_what_a_vq_vae_cannot_do(runs):
    workdir = f"--workdir={runs}/vq_vae"
    assert f"train.main --dataset=codes:{runs}/vq_vae" in refusal(train.sample, workdir)
    assert "gives no likelihood" in refusal(train.score, workdir, "--images=digits:test")
    flags = ["--images=digits:test", f"--output={runs}/x.pcnn"]
    assert "got ReconstructionError" in refusal(train.compress, workdir, *flags)


def test_a_vq_vae_that_is_gone_or_changed(runs, tmp_path):
    """Of copies, so that the runs of the other tests stay."""
    for name in ("vq_vae", "prior"):
        shutil.copytree(runs / name, tmp_path / name)
    dataset, prior = f"codes:{tmp_path}/vq_vae", f"--workdir={tmp_path}/prior"
    path = tmp_path / "prior" / "config.json"
    path.write_text(path.read_text().replace(str(runs), str(tmp_path)))
    _, model, averaged, step = load_run(str(tmp_path / "vq_vae"))
    averaged.quantizer.embeddings.assign(averaged.quantizer.embeddings * 1.01)
    Checkpoints(str(tmp_path / "vq_vae"), model, averaged).save(step + 1)
    for changed in (refusal(train.sample, prior), refusal(train.evaluate, prior)):
        assert f"--dataset={dataset}: its VQ-VAE has the fingerprint" in changed
    config = config_of(tmp_path / "prior", SIZES | PRIOR, dataset=dataset, max_steps=6)
    with pytest.raises(UserError, match="fingerprint"):
        train_run(config)
    run_of(config.replace(workdir=str(tmp_path / "other"))).prepare_codes()  # the new codes
    codes = f"{tmp_path}/vq_vae/codes.npz"
    for images in (dataset, codes, f"{codes}:train[:10%]"):
        text = refusal(train.score, prior, f"--images={images}")
        assert text.startswith(f"--images={images}: has codes of a VQ-VAE with the fingerprint")
    Image.fromarray(np.zeros([8, 8], np.uint8)).save(tmp_path / "a.png")
    for images in ("digits:test", f"{tmp_path}/a.png"):
        text = refusal(train.score, prior, f"--images={images}")
        assert f"--images={images}: has images, but the run in" in text and "give codes:" in text
    shutil.rmtree(tmp_path / "vq_vae")
    gone = refusal(train.sample, prior)
    assert f"--dataset={dataset}: cannot load its VQ-VAE" in gone
    with pytest.raises(UserError, match="the run there is a gated_pixelcnn, must be a vq_vae"):
        config = config_of(tmp_path / "x", SIZES | PRIOR, dataset=f"codes:{runs}/prior")
        train_run(config)


def test_a_split_that_was_not_encoded_is_refused(tmp_path):
    """The VQ-VAE was scored on its validation images, which are the codes' `x_test`."""
    codes = np.arange(8, dtype=np.uint8).reshape(2, 2, 2) % 4
    arrays = dict(num_levels=4, num_classes=0, scored="validation", fingerprint="12")
    np.savez(tmp_path / "codes.npz", x_train=codes, x_test=codes, **arrays)
    name = f"codes:{tmp_path}"
    assert load(name).eval_name == "validation"
    with pytest.raises(UserError, match="eval_split=test: .*test was not encoded"):
        load(name, options=DataOptions(eval_split="test"))


def test_codes_are_embedded_unless_that_is_switched_off():
    config = from_values({"dataset": "codes:runs/vq/", "model": "gated_pixelcnn"})
    assert config.input_embedding and config.workdir == "runs/codes-vq-gated_pixelcnn-paper"
    values = {"dataset": "codes:runs/vq", "model": "gated_pixelcnn", "input_embedding": False}
    assert not from_values(values).input_embedding
    assert not from_values({"dataset": "codes:runs/vq", "model": "pixelcnn"}).input_embedding
