import numpy as np
import pytest

from pixelcnn_tf import PixelCNNPlusPlus, official


@pytest.fixture
def model():
    return PixelCNNPlusPlus((8, 8, 1), nr_resnet=1, nr_filters=2, nr_logistic_mix=1)


def values_of(model):
    return {name: v.numpy() + 1 for name, v in official.named_variables(model).items()}


def test_round_trip(model):
    values = values_of(model)
    official.assign_variables(model, values)
    for name, variable in official.named_variables(model).items():
        np.testing.assert_array_equal(variable, values[name])


@pytest.mark.parametrize("problem", ["missing", "extra", "shape"])
def test_values_that_do_not_fit_are_rejected_atomically(model, problem):
    values = values_of(model)
    before = {name: v.numpy() for name, v in official.named_variables(model).items()}
    name = "model/conv2d_3/V"
    if problem == "missing":
        del values[name]
    elif problem == "extra":
        name = "model/conv2d_99/V"
        values[name] = np.zeros(3)
    else:
        values[name] = np.zeros([1, 2, 3])
    with pytest.raises(ValueError, match=name):
        official.assign_variables(model, values)
    for key, variable in official.named_variables(model).items():
        np.testing.assert_array_equal(variable, before[key])
