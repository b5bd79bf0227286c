"""PixelCNN++ and its likelihood in TensorFlow 2 and Keras 3. See README.md."""

from pixelcnn_tf import official
from pixelcnn_tf.discretized_mix_logistic import (
    discretized_mix_logistic_loss,
    sample_from_discretized_mix_logistic,
)
from pixelcnn_tf.energy_distance import energy_distance
from pixelcnn_tf.initialization import data_dependent_init
from pixelcnn_tf.model import PixelCNNPlusPlus
from pixelcnn_tf.optimizer import OfficialAdam
from pixelcnn_tf.polyak import PolyakAverage

__all__ = [
    "OfficialAdam",
    "PixelCNNPlusPlus",
    "PolyakAverage",
    "data_dependent_init",
    "discretized_mix_logistic_loss",
    "energy_distance",
    "official",
    "sample_from_discretized_mix_logistic",
]
