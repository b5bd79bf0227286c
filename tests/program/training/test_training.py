"""Runs of the whole program on the built-in digits, small enough for seconds each."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from calls import call, refusal
from small import (
    ONE_STAGE_RUN,
    config_of,
    copy_run,
    load_run,
    random_levels,
    run_of,
    run_training,
    without_scores,
)

from pixelcnn_tf import (
    PixelCNNPlusPlus,
    PolyakAverage,
    discretized_mix_logistic_loss,
    energy_distance,
)
from pixelcnn_tf.grid import grid
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from train import evaluate, sample
from train.config.presets import from_values
from train.data.load import load, load_configured
from train.errors import UserError
from train.main import train
from train.progress import duration
from train.run.checkpoints import Checkpoints
from train.run.metrics import MetricsLog, read
from train.training.evaluation import make_evaluate
from train.training.trainer import Trainer
from train.training.window import Window

MINI = ONE_STAGE_RUN | dict(
    batch_size=50,  # 29 steps an epoch
    max_steps=6,
    log_interval=1,
    checkpoint_interval=2,
    eval_interval=0,
    num_samples=2,
)


def mini(workdir, **changes):
    return config_of(workdir, MINI, **changes)


def flags_of(config):
    names = [*MINI, "workdir", "learning_rate"]
    return [f"--{name}={getattr(config, name)}" for name in names]


def final_arrays(workdir):
    latest = tf.train.latest_checkpoint(os.path.join(workdir, "checkpoints"))
    reader = tf.train.load_checkpoint(latest)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same_arrays(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        if name.endswith("VARIABLE_VALUE"):
            np.testing.assert_array_equal(actual[name], value, err_msg=name)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An undisturbed run: its folder and scores."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, run_training(mini(workdir))


def test_run_leaves_what_it_promises(finished):
    workdir, scores = finished
    assert json.loads((workdir / "config.json").read_text())["nr_filters"] == 4
    rows = read(workdir / "metrics.jsonl")
    trained = [row for row in rows if "train/bits_per_dim" in row]
    assert [row["step"] for row in trained] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(trained[2]["learning_rate"], 0.003 * 0.9995**3, rtol=1e-6)
    tested = [row for row in rows if "test/bits_per_dim" in row]
    assert [row["step"] for row in tested] == [6]
    assert tested[0]["test/bits_per_dim"] == scores["averaged"]
    assert tested[0]["test/bits_per_dim_raw"] == scores["raw"]
    with np.load(workdir / "samples" / "step_0000006.npz") as file:
        assert file["images"].shape == (2, 8, 8, 1) and file["images"].max() <= 16
    picture = tf.io.decode_png(tf.io.read_file(str(workdir / "samples" / "step_0000006.png")))
    assert picture.shape[-1] == 1
    assert any("tfevents" in name for name in os.listdir(workdir / "tensorboard"))


def test_checkpoint_holds_every_number(finished):
    workdir, _ = finished
    _, model, _, step = load_run(str(workdir))
    assert step == 6
    arrays = final_arrays(workdir)
    sizes = {
        part: sum(value.size for name, value in arrays.items() if name.startswith(part + "/"))
        for part in ("parameters", "averages", "optimizer")
    }
    count = model.count_params()
    # Adam: two moments a parameter, the step and the learning rate.
    assert sizes == {"parameters": count, "averages": count, "optimizer": 2 * count + 2}


@pytest.mark.parametrize("warmup", [False, True])
def test_average_is_the_exponential_one(warmup):
    """The official constant decay, and the warm-up min(decay, (1 + t) / (10 + t))."""

    def make():
        return PixelCNNPlusPlus((4, 4, 1), nr_resnet=1, nr_filters=2, nr_logistic_mix=1)

    model, averaged = make(), make()
    average = PolyakAverage(model, averaged, polyak_decay=0.9, warmup=warmup)
    average.start()
    expected = [v.numpy() for v in model.trainable_variables]
    for step in range(3):
        for variable in model.trainable_variables:
            variable.assign_add(tf.ones(variable.shape) * (step + 1))
        average.update()
        decay = min(0.9, (1 + step) / (10 + step)) if warmup else 0.9
        expected = [
            decay * e + (1 - decay) * v.numpy()
            for e, v in zip(expected, model.trainable_variables, strict=True)
        ]
    for shadow, value in zip(averaged.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(shadow, value, rtol=1e-5, atol=1e-6)


def test_evaluation_counts_every_image_once(finished):
    workdir, scores = finished
    config, model, averaged, _ = load_run(str(workdir))
    dataset = run_of(config).dataset()
    for name, scored in (("averaged", averaged), ("raw", model)):
        images = levels_to_input(dataset.eval.images, 17)
        nats = discretized_mix_logistic_loss(images, scored(images), False, num_levels=17)
        np.testing.assert_allclose(scores[name], np.mean(nats) / (64 * np.log(2)), rtol=1e-5)


def test_scores_do_not_depend_on_the_batch_size(finished):
    workdir, _ = finished
    config, model, _, _ = load_run(str(workdir))
    dataset = run_of(config).dataset()
    evaluate = make_evaluate(model, tf.distribute.get_strategy())
    np.testing.assert_allclose(
        evaluate(dataset.eval, 7).loss, evaluate(dataset.eval, 300).loss, rtol=1e-5
    )


def test_two_replicas_equal_one(tmp_path):
    """The same global batch on one device and on two: same loss, parameters and scores."""
    dataset = load("digits")
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one = tf.distribute.OneDeviceStrategy("CPU:0")
    results = []
    for strategy, batch_size in ((one, 20), (mirrored, 10)):
        trainer = Trainer(run_of(mini(tmp_path, batch_size=batch_size)), dataset, strategy)
        trainer.initialize()
        batches = strategy.experimental_distribute_dataset(dataset.train.epoch(0, 20, seed=1))
        losses = trainer.train_steps(iter(batches), 4)
        evaluate = make_evaluate(trainer.averaged_model, strategy)
        weights = [v.numpy() for v in trainer.model.trainable_variables]
        averages = [v.numpy() for v in trainer.averaged_model.trainable_variables]
        results.append((losses, evaluate(dataset.eval, 64).loss, weights, averages))
    (losses, score, weights, averages), other = results
    np.testing.assert_allclose(other[0], losses, rtol=1e-5)
    np.testing.assert_allclose(other[1], score, rtol=1e-5)
    for mine, theirs in zip(weights + averages, other[2] + other[3], strict=True):
        assert np.abs(mine - theirs).max() <= 1e-4 * np.abs(mine).max()


def run_and_kill(config, at_line=None):
    """Runs the program; kills it with -9 once a line of its output holds `at_line`."""
    command = [sys.executable, "-m", "train.main", *flags_of(config)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if at_line and at_line in line:
                process.send_signal(signal.SIGKILL)
                break
        errors = process.stderr.read()
        process.wait()
    assert process.returncode == (-signal.SIGKILL if at_line else 0), errors


def test_killed_run_continues_to_the_same_parameters(tmp_path):
    """The whole network, of three stages."""
    workdir, tmp_path = tmp_path / "undisturbed", tmp_path / "killed"
    run_training(mini(workdir, num_samples=0, num_stages=3))
    config = mini(tmp_path, num_samples=0, num_stages=3)
    tmp_path.mkdir()
    # As a run leaves its folder that is killed before it has taken a step.
    run_of(config).write_config(load("digits"), config.batch_size)
    run_and_kill(config, at_line="step 3/6")
    run_training(config)
    assert_same_arrays(final_arrays(tmp_path), final_arrays(workdir))

    def comparable(rows):
        return [{k: v for k, v in row.items() if k != "images_per_sec"} for row in rows]

    assert comparable(read(tmp_path / "metrics.jsonl")) == comparable(
        read(workdir / "metrics.jsonl")
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_run_killed_at_many_points_continues_to_the_same_parameters(tmp_path, seed):
    longer = dict(max_steps=40, checkpoint_interval=3, eval_interval=1, save_interval=1)
    undisturbed = mini(tmp_path / "a", **longer)
    run_and_kill(undisturbed)
    config = mini(tmp_path / "b", **longer)
    points = np.random.default_rng(seed).choice(np.arange(1, 41), size=3, replace=False)
    for step in [0, *sorted(points)]:
        run_and_kill(config, at_line=f"step {step}/40" if step else "starting at")
    run_and_kill(config)
    assert_same_arrays(final_arrays(tmp_path / "b"), final_arrays(tmp_path / "a"))


def copied_checkpoints(source, target):
    copy_run(source, target)
    return Checkpoints(str(target), *load_run(str(source))[1:3])


DAMAGES = ["truncated", "missing shard", "empty index"]


def damage_newest(workdir, damage):
    shard = workdir / "checkpoints" / "step-6.data-00000-of-00001"
    if damage == "truncated":
        shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    elif damage == "missing shard":
        shard.unlink()
    else:
        (workdir / "checkpoints" / "step-6.index").write_bytes(b"")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint_falls_back_to_the_one_before(finished, tmp_path, capsys, damage):
    workdir, _ = finished
    checkpoints = copied_checkpoints(workdir, tmp_path)
    assert checkpoints.steps() == [2, 4, 6]
    damage_newest(tmp_path, damage)
    assert checkpoints.restore_latest() == 4
    output = capsys.readouterr().out
    assert "step-6 cannot be read" in output and "falling back" in output


@pytest.mark.parametrize(
    "damage", ["truncated", *(pytest.param(x, marks=pytest.mark.slow) for x in DAMAGES[1:])]
)
def test_run_with_a_damaged_checkpoint_ends_as_the_undisturbed_one(finished, tmp_path, damage):
    workdir, _ = finished
    copy_run(workdir, tmp_path)
    damage_newest(tmp_path, damage)
    with without_scores():
        run_training(mini(tmp_path, num_samples=0))
    assert_same_arrays(final_arrays(tmp_path), final_arrays(workdir))


def test_no_readable_checkpoint_is_no_new_start(finished, tmp_path):
    workdir, _ = finished
    checkpoints = copied_checkpoints(workdir, tmp_path)
    for path in (tmp_path / "checkpoints").glob("*.data-*"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="none of the 3 checkpoints"):
        checkpoints.restore_latest()


def test_another_configuration_is_refused(finished):
    workdir, _ = finished
    with pytest.raises(UserError, match="class_conditional is False there, True here"):
        train(mini(workdir, class_conditional=True))


def test_metrics_after_the_checkpoint_and_half_lines_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 4, "tr')
    log = MetricsLog(str(tmp_path), step=2)
    log.write(3, value=1.0)
    log.close()
    assert [row["step"] for row in read(path)] == [1, 2, 3]
    assert path.read_text().endswith("\n")


def test_conditional_run_is_scored_by_its_labels(tmp_path, capsys):
    scores = train(mini(tmp_path, max_steps=2, class_conditional=True, num_samples=0))
    assert "bits/dim" in capsys.readouterr().out
    config, _, averaged, _ = load_run(str(tmp_path))
    test = run_of(config).dataset().eval
    images = levels_to_input(test.images, 17)
    right, wrong = (
        np.mean(discretized_mix_logistic_loss(images, averaged(images, labels), False, 17))
        for labels in (test.labels, (test.labels + 1) % 10)
    )
    np.testing.assert_allclose(scores["averaged"], right / (64 * np.log(2)), rtol=1e-5)
    assert abs(wrong - right) > 1e-4 * right


def test_energy_run_is_scored_by_the_distance(tmp_path, capsys):
    scores = train(mini(tmp_path, max_steps=2, energy_distance=True, num_samples=0))
    assert "energy_distance" in capsys.readouterr().out
    config, _, averaged, _ = load_run(str(tmp_path))
    total = 0.0
    for batch in (
        run_of(config).dataset().eval.in_order(50)
    ):  # in which every image has its own noise
        images = levels_to_input(batch["images"], 17)
        samples = averaged(images, seed=batch["seeds"])
        total += np.sum(batch["weights"] * energy_distance(images, samples, sum_all=False))
    np.testing.assert_allclose(scores["averaged"], total / 300 / 64, rtol=1e-4)


def test_infinite_loss_stops_and_keeps_the_checkpoint(finished, tmp_path):
    workdir, _ = finished
    copy_run(workdir, tmp_path)
    before = final_arrays(tmp_path)
    config = mini(tmp_path, max_steps=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_steps", lambda self, batches, count: tf.constant([np.nan]))
        with pytest.raises(UserError) as error:
            train(config)
    assert "nan at step 7" in str(error.value) and "that of step 6" in str(error.value)
    assert "learning_rate" in str(error.value)
    assert_same_arrays(final_arrays(tmp_path), before)


def test_update_to_infinity_is_not_saved(tmp_path, monkeypatch):
    """The loss of a step is that before its update: the weights are looked at too."""

    def break_it(self, batches, count):
        variable = self.model.trainable_variables[0]
        variable.assign(variable * np.inf)
        return tf.constant([1.0])

    monkeypatch.setattr(Trainer, "train_steps", break_it)
    with pytest.raises(UserError, match="step 2 made weights that are not finite"):
        train(mini(tmp_path))
    assert not (tmp_path / "checkpoints").exists()
    assert not any("test/bits_per_dim" in row for row in read(tmp_path / "metrics.jsonl"))


def test_other_data_is_refused(tmp_path):
    arrays = random_levels(60, 8, 8, 1)
    path = str(tmp_path / "set.npz")
    np.savez(path, x_train=arrays, x_test=arrays)
    config = mini(tmp_path / "run", dataset=path)
    (tmp_path / "run").mkdir()
    run_of(config).write_config(load(path), config.batch_size)
    np.savez(path, x_train=arrays[:, :4], x_test=arrays[:, :4])
    with pytest.raises(UserError, match=r"image_shape \(4, 8, 1\), but .* \(8, 8, 1\)"):
        train(config)


def test_a_changed_number_of_images_is_refused(tmp_path):
    """Another order, and images that were trained on could be scored."""
    arrays = random_levels(60, 8, 8, 1)
    path = str(tmp_path / "set.npz")
    np.savez(path, x_train=arrays)
    values = dict(dataset=path, train_split="train[:90%]", eval_split="train[90%:]")
    config = mini(tmp_path / "run", **values)
    (tmp_path / "run").mkdir()
    run_of(config).write_config(load_configured(config), config.batch_size)
    np.savez(path, x_train=arrays[:50])
    with pytest.raises(UserError, match="45 training images and 5 .* started with 54"):
        train(config)


def test_window_names_the_step_of_the_infinite_loss(finished):
    class Stub:
        checkpoints = Checkpoints.__new__(Checkpoints)
        config = from_values({})
        window = tf.Variable([0.0, 0.0])

    Stub.checkpoints.directory = "/nonexistent"
    window = Window(Stub, None, None)
    for losses in ([1.0], [2.0, np.inf], [3.0]):
        window.add(tf.constant(losses))
    with pytest.raises(UserError, match="inf at step 9; .*there is none yet"):
        window.check(10)


def test_standard_error_is_over_images(finished):
    workdir, _ = finished
    config, _, averaged, _ = load_run(str(workdir))
    split = run_of(config).dataset().eval
    found = make_evaluate(averaged, tf.distribute.get_strategy())(split, 64)
    levels = np.concatenate([b["images"] for b in split.in_order(100).as_numpy_iterator()])
    bits = -averaged.log_prob(levels_to_input(levels, 17)).numpy() / (64 * np.log(2))
    expected = bits.std(ddof=1) / len(bits) ** 0.5
    assert len(bits) == 300
    np.testing.assert_allclose(found.standard_error, expected, rtol=1e-3)
    logged = [row for row in read(str(workdir / "metrics.jsonl")) if "test/standard_error" in row]
    np.testing.assert_allclose(logged[-1]["test/standard_error"], expected, rtol=1e-3)


def test_mistakes_are_told(tmp_path):
    arrays = random_levels(30, 8, 8, 1)
    path = str(tmp_path / "set.npz")
    np.savez(path, x_train=arrays, x_test=arrays)
    with pytest.raises(UserError, match="has no labels"):
        train(mini(tmp_path / "a", dataset=path, class_conditional=True))
    with pytest.raises(UserError, match="only 30"):
        train(mini(tmp_path / "b", dataset=path))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="not writable"):
        train(mini(tmp_path / "file" / "run"))
    with pytest.raises(UserError, match="no run here"):
        load_run(str(tmp_path / "nothing"))


def test_evaluate_and_sample_programs(finished, tmp_path):
    workdir, scores = finished
    told = call(evaluate, f"--workdir={workdir}")
    assert f"{scores['averaged']:.4f}  this run" in told
    output = str(tmp_path / "grid")
    call(sample, f"--workdir={workdir}", "--num_samples=2", "--seed=1", f"--output={output}")
    with np.load(output + ".npz") as file, np.load(workdir / "samples/step_0000006.npz") as old:
        np.testing.assert_array_equal(file["images"], old["images"])
    for mistake, message in {
        "--label=3": "not class-conditional",
        "--seed=-1": "seed=-1",
        f"--output={workdir}/config.json/x": "config.json",
    }.items():
        assert message in refusal(sample, f"--workdir={workdir}", mistake)


def test_raw_weights_can_be_sampled(finished, tmp_path):
    workdir, _ = finished
    call(
        sample,
        f"--workdir={workdir}",
        "--num_samples=2",
        "--averaged=false",
        f"--output={tmp_path}/raw",
    )
    raw = load_run(str(workdir))[1].sample(2, seed=1)
    with np.load(tmp_path / "raw.npz") as file:
        np.testing.assert_array_equal(file["images"], input_to_levels(raw, 17))


def test_completion_program(finished, tmp_path):
    workdir, _ = finished
    output = str(tmp_path / "completed")
    call(
        sample,
        f"--workdir={workdir}",
        "--complete=top",
        "--num_samples=3",
        "--num_completions=2",
        f"--output={output}",
    )
    with np.load(output + ".npz") as file:
        assert file["images"].shape == (6, 8, 8, 1)
        np.testing.assert_array_equal(file["images"][:, :4], file["originals"][:, :4])
        np.testing.assert_array_equal(file["originals"][::2], load("digits").eval.images[:3])
    picture = tf.io.decode_png(tf.io.read_file(output + ".png"))
    assert picture.shape == [3 * 66 + 2, 4 * 66 + 2, 1]  # original, given, two completions


def test_grid_places():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones([1, 64, 64, 1], np.uint8)
    across, down = grid(images, columns=3), grid(images, rows=3)
    assert across.shape == (2 * 66 + 2, 3 * 66 + 2, 1) and down.shape == (3 * 66 + 2, 134, 1)
    assert across[10, 150] == 2 and across[100, 10] == 3 and across[100, 150] == 255
    assert down[150, 10] == 2 and down[10, 100] == 3 and down[150, 100] == 255


def test_duration():
    assert [duration(s) for s in (4, 184, 7384, 93784)] == ["4s", "3m 4s", "2h 3m", "1d 2h"]
