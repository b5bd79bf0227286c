"""PixelCNN++ and its relatives in TensorFlow 2 and Keras 3. See README.md."""

from pixelcnn_tf import official
from pixelcnn_tf.diagonal_bilstm import DiagonalBiLSTM
from pixelcnn_tf.discretized_mix_logistic import (
    discretized_mix_logistic_loss,
    sample_from_discretized_mix_logistic,
)
from pixelcnn_tf.energy_distance import energy_distance
from pixelcnn_tf.gated_pixelcnn import GatedPixelCNN
from pixelcnn_tf.initialization import data_dependent_init
from pixelcnn_tf.model import PixelCNNPlusPlus
from pixelcnn_tf.optimizer import OfficialAdam
from pixelcnn_tf.pixelcnn import PixelCNN
from pixelcnn_tf.polyak import PolyakAverage
from pixelcnn_tf.row_lstm import RowLSTM

__all__ = [
    "DiagonalBiLSTM",
    "GatedPixelCNN",
    "OfficialAdam",
    "PixelCNN",
    "PixelCNNPlusPlus",
    "PolyakAverage",
    "RowLSTM",
    "data_dependent_init",
    "discretized_mix_logistic_loss",
    "energy_distance",
    "official",
    "sample_from_discretized_mix_logistic",
]
