"""PixelCNN++ and its relatives in TensorFlow 2 and Keras 3. See README.md."""

from pixelcnn_tf import official
from pixelcnn_tf.likelihoods.discretized_mix_logistic import (
    discretized_mix_logistic_loss,
    sample_from_discretized_mix_logistic,
)
from pixelcnn_tf.likelihoods.energy import energy_distance
from pixelcnn_tf.models.gated_pixelcnn import GatedPixelCNN
from pixelcnn_tf.models.initialization import data_dependent_init
from pixelcnn_tf.models.pixel_rnn.diagonal_bilstm import DiagonalBiLSTM
from pixelcnn_tf.models.pixel_rnn.row_lstm import RowLSTM
from pixelcnn_tf.models.pixelcnn import PixelCNN
from pixelcnn_tf.models.pixelcnn_pp import PixelCNNPlusPlus
from pixelcnn_tf.optimization.adam import OfficialAdam
from pixelcnn_tf.optimization.polyak import PolyakAverage

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
