"""A run on images of 5x7, which PixelCNN++ extends to 8x8 inside, from training to serving."""

import glob

import numpy as np
import pytest
import tensorflow as tf
from calls import call
from small import SMALLEST_RUN, config_of, load_run, random_levels, run_training

import train.evaluate
import train.sample
from train.export import export


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_a_run_of_an_odd_size(tmp_path, channels):
    images = random_levels(60, 5, 7, channels, seed=3)
    path = str(tmp_path / "set.npz")
    np.savez(path, x_train=images[:40], x_test=images[40:])
    values = SMALLEST_RUN | dict(dataset=path, batch_size=10, num_samples=2)

    straight = config_of(tmp_path / "straight", values, max_steps=6)
    run_training(straight)
    stopped = config_of(tmp_path / "stopped", values, max_steps=3)
    run_training(stopped)
    run_training(stopped.replace(max_steps=6))
    models = [load_run(str(tmp_path / name)) for name in ("straight", "stopped")]
    for number in (1, 2):  # raw and averaged weights, to the last bit
        for one, other in zip(
            models[0][number].variables, models[1][number].variables, strict=True
        ):
            np.testing.assert_array_equal(one, other)

    workdir = f"--workdir={straight.workdir}"
    assert "bits/dim" in call(train.evaluate, workdir)
    call(train.sample, workdir, "--num_samples=2", f"--output={tmp_path}/drawn")
    call(train.sample, workdir, "--num_samples=2", "--complete=left", f"--output={tmp_path}/half")
    for name in ("drawn", "half"):
        assert glob.glob(f"{tmp_path}/{name}.png")
    with np.load(tmp_path / "drawn.npz") as file:
        assert file["images"].shape == (2, 5, 7, channels)

    loaded = tf.saved_model.load(export(straight.workdir, str(tmp_path / "models" / "odd")))
    answer = loaded.signatures["score"](images=images[:3])["log_prob"]
    averaged = models[0][2]
    np.testing.assert_allclose(
        answer, averaged.log_prob(images[:3].astype(np.float32) / 127.5 - 1), rtol=1e-5
    )
