"""Coverage of the quantiles, against probabilities that the likelihoods themselves give."""

import numpy as np
import pytest
import tensorflow as tf
from small import random_levels

from pixelcnn_tf.levels import input_to_levels, level_values, levels_to_input
from pixelcnn_tf.likelihoods.categorical import Categorical
from pixelcnn_tf.likelihoods.discretized_mix_logistic import DiscretizedMixLogistic
from train.scoring.calibration import CENTRAL, QUANTILES, SURE, Calibration

LEVELS = 6
LIKELIHOODS = {
    "mixture": DiscretizedMixLogistic(3, 1, LEVELS),
    "categorical": Categorical(1, LEVELS),
    "colours": DiscretizedMixLogistic(2, 3, LEVELS),
}


def random_parameters(likelihood, *shape, seed=1):
    return tf.random.stateless_normal([*shape, likelihood.num_parameters], [seed, 0])


@pytest.mark.parametrize("name", ["mixture", "categorical"])
def test_against_the_probability_of_every_level(name):
    likelihood = LIKELIHOODS[name]
    levels = random_levels(3, 5, 4, 1, num_levels=LEVELS)
    parameters = 5.0 * random_parameters(likelihood, 3, 5, 4)  # some levels have nearly all
    calibration = Calibration(likelihood)
    for part in (slice(0, 1), slice(1, 3)):  # in two batches
        calibration.add(levels[part], parameters[part].numpy())
    everywhere = [tf.fill([3, 5, 4, 1], value) for value in level_values(LEVELS)]
    exact = tf.cast(parameters, tf.float64)
    mass = np.exp([likelihood.log_prob(values, exact) for values in everywhere])
    mass = mass.reshape(LEVELS, -1)
    upto = np.cumsum(mass, axis=0)
    expected = {"all": [], "unsure": []}
    for number, level in enumerate(levels.ravel()):
        high = upto[level, number]
        low = high - mass[level, number]
        below = [np.clip((q - low) / (high - low), 0, 1) for q in QUANTILES]
        expected["all"].append(below)
        if mass[0, number] < SURE and mass[-1, number] < SURE:
            expected["unsure"].append(below)
    found = calibration.result()
    assert found["all"].count == 60 and 0 < found["unsure"].count < 60
    for kind in ("all", "unsure"):
        assert found[kind].count == len(expected[kind])
        # At 1 itself the sums here are off by rounding, which a level without mass makes a step.
        below = np.mean(expected[kind], axis=0)
        np.testing.assert_allclose(found[kind].below[:-1], below[:-1], atol=1e-9)
        assert found[kind].below[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_what_a_model_draws_is_calibrated_and_what_another_draws_is_not(name):
    likelihood = LIKELIHOODS[name]
    parameters = random_parameters(likelihood, 40, 10, 10)
    noise = tf.random.stateless_uniform([40, 10, 10, likelihood.num_uniforms], [7, 0], 1e-5, 1)
    for temperature, is_right in ((1.0, True), (0.3, False)):
        drawn = likelihood.sample(parameters, noise, temperature=temperature)
        calibration = Calibration(likelihood)
        levels = input_to_levels(drawn, LEVELS).numpy()
        np.testing.assert_array_equal(levels_to_input(levels, LEVELS), drawn)
        calibration.add(levels, parameters.numpy())
        found = calibration.result()["all"]
        # 4,000 or 12,000 values: a share of them has a standard deviation of at most 0.008.
        wrong = [abs(found.central(share) - share) for share in CENTRAL]
        assert (max(wrong) < 0.03) == is_right, wrong
        assert found.below[0] == 0.0 and found.below[-1] == pytest.approx(1.0)
