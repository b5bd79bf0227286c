"""The receptive field, of functions whose influences are known and of a network."""

import types

import numpy as np
import pytest
import tensorflow as tf
from small import random_values

from pixelcnn_tf import PixelCNN
from train.scoring.receptive_field import default_place, radius, receptive_field, seen_share

PLACE = (3, 2)


def shifted(images, down, right):
    return tf.roll(images, [down, right], [1, 2])


class Sees(types.SimpleNamespace):
    """In the place of a model: each pixel is thrice its left neighbour and once what is two rows
    above."""

    image_shape = (5, 5, 1)

    def __call__(self, images, labels):
        return 3.0 * shifted(images, 0, 1) + shifted(images, 2, 0)


def test_the_influences_of_a_function():
    field = receptive_field(Sees(), random_values(4, 5, 5, 1), place=PLACE)
    assert set(zip(*np.nonzero(field), strict=True)) == {(3, 1), (1, 2)}
    assert field[3, 1] == pytest.approx(3 * field[1, 2])
    assert seen_share(field, PLACE) == 2 / 17
    assert [radius(field, PLACE, share) for share in (0.5, 0.75, 0.76, 1.0)] == [1, 1, 2, 2]


class SeesCodes(Sees):
    """The same of rounded values, which have no gradient."""

    def __call__(self, images, labels):
        return super().__call__(tf.cast(tf.cast(images, tf.int32), tf.float32), labels)


def test_a_function_of_codes_has_none():
    assert receptive_field(SeesCodes(), random_values(1, 5, 5, 1), place=PLACE) is None


def test_a_network_is_causal_and_has_a_blind_spot():
    model = PixelCNN((9, 9, 1), nr_resnet=1, nr_filters=4, num_head_filters=4, num_levels=4)
    place = default_place(model.image_shape)
    field = receptive_field(model, random_values(3, 9, 9, 1))
    later = np.arange(81).reshape(9, 9) >= place[0] * 9 + place[1]
    assert place == (6, 4) and not field[later].any() and field[5, 4] > 0
    assert 0 < seen_share(field, place) < 1  # what lies to the upper right is not seen
