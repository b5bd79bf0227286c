"""PixelCNN++ and its relatives in TensorFlow 2 and Keras 3. See README.md.

Models map images to the parameters of every pixel's distribution; a likelihood scores and samples
pixels given these parameters; `sampling` draws whole images; `official` maps variables to their
official names. `losses`, `metrics` and `callbacks` are for Keras. `pixelcnn_tf.export`,
`pixelcnn_tf.codec`, `pixelcnn_tf.pretrained` and `pixelcnn_tf.likelihoods.tfp_distribution` must be
imported explicitly.
"""

import importlib

from pixelcnn_tf import callbacks, levels, losses, metrics, official, sampling
from pixelcnn_tf.likelihoods.base import Likelihood, Objective, bits_per_dim
from pixelcnn_tf.likelihoods.categorical import Categorical
from pixelcnn_tf.likelihoods.discretized_mix_logistic import (
    DiscretizedMixLogistic,
    discretized_mix_logistic_loss,
    sample_from_discretized_mix_logistic,
)
from pixelcnn_tf.likelihoods.energy import EnergyDistance, energy_distance
from pixelcnn_tf.models.gated_pixelcnn import GatedPixelCNN
from pixelcnn_tf.models.image_model import AutoregressiveModel
from pixelcnn_tf.models.initialization import data_dependent_init
from pixelcnn_tf.models.pixel_rnn.diagonal_bilstm import DiagonalBiLSTM
from pixelcnn_tf.models.pixel_rnn.row_lstm import RowLSTM
from pixelcnn_tf.models.pixelcnn import PixelCNN
from pixelcnn_tf.models.pixelcnn_pp import PixelCNNPlusPlus
from pixelcnn_tf.models.vq_vae import VQVAE
from pixelcnn_tf.optimization.adam import OfficialAdam
from pixelcnn_tf.optimization.muon import Muon
from pixelcnn_tf.optimization.polyak import PolyakAverage

__version__ = "0.2.0"

__all__ = [
    "AutoregressiveModel",
    "Categorical",
    "DiagonalBiLSTM",
    "DiscretizedMixLogistic",
    "EnergyDistance",
    "GatedPixelCNN",
    "Likelihood",
    "Muon",
    "Objective",
    "OfficialAdam",
    "PixelCNN",
    "PixelCNNPlusPlus",
    "PolyakAverage",
    "RowLSTM",
    "VQVAE",
    "__version__",
    "bits_per_dim",
    "callbacks",
    "data_dependent_init",
    "discretized_mix_logistic_loss",
    "energy_distance",
    "levels",
    "losses",
    "metrics",
    "official",
    "sample_from_discretized_mix_logistic",
    "sampling",
]


def __getattr__(name):
    """Imports `PixelCNNDistribution`, which needs the extra `tfp`, on first use.

    Raises:
      ImportError: if TensorFlow Probability is not installed.
    """
    if name != "PixelCNNDistribution":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module("pixelcnn_tf.distribution")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"PixelCNNDistribution: {error.name} is missing; pip install 'pixelcnn_tf[tfp]'"
        ) from error
    return module.PixelCNNDistribution
