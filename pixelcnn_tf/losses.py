"""Likelihoods as Keras losses, for `model.compile` and `model.fit`.

Registered with Keras, so that a compiled model can be saved and loaded. Like the official loss they
are a SUM over the batch by default: the epsilon of `OfficialAdam` refers to it.
"""

import keras
import tensorflow as tf

from pixelcnn_tf.levels import check_num_levels, levels_to_input, require_levels
from pixelcnn_tf.likelihoods.base import Likelihood
from pixelcnn_tf.likelihoods.categorical import Categorical
from pixelcnn_tf.likelihoods.discretized_mix_logistic import (
    DiscretizedMixLogistic,
    discretized_mix_logistic_loss,
)
from pixelcnn_tf.likelihoods.energy import EnergyDistance, energy_distance

TARGETS = ("values", "levels")
NO_TARGETS = "y missing: the targets are the images themselves, as in model.fit(images, images)"


class PixelLoss(keras.losses.Loss):
    """Base of the losses here: a loss of each image, `[B]`, reduced by Keras.

    `y_true` are the images `[B, H, W, C]` themselves, `y_pred` is the model's output.

    A weight of an image (`sample_weight` `[B]`) multiplies its loss. With `reduction="sum"` under
    `tf.distribute` the gradients of all replicas are added, as in the official code; the loss that
    Keras shows is the mean over batches of the sum over the global batch.

    Args:
      num_levels: number of levels per channel.
      targets: "values": `y_true` are level values, floats in [-1, 1]; "levels": integer levels
        0 ... num_levels - 1.
      reduction: Keras' own: "sum" (nats of the batch), "sum_over_batch_size" (nats an image), None.
      name: of the loss.
      dtype: that it is computed in; float32 unless Keras is told otherwise.

    Raises:
      ValueError: for an argument that is not allowed; when called, for integers as "values", and
        eagerly for "levels" that are none.
      InvalidArgumentError: in a graph, when it runs, for these; XLA leaves the check out.
    """

    def __init__(
        self,
        num_levels: int = 256,
        targets: str = "values",
        reduction: str | None = "sum",
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if targets not in TARGETS:
            raise ValueError(f"targets={targets!r}: must be one of {', '.join(TARGETS)}")
        self.num_levels = check_num_levels(num_levels)
        self.targets = targets

    def __call__(self, y_true, y_pred, sample_weight=None):
        if y_true is None:
            raise ValueError(NO_TARGETS)
        # Keras makes floats of everything before `call`.
        dtype = tf.as_dtype(getattr(y_true, "dtype", self.dtype))
        if self.targets == "values" and not dtype.is_floating:
            raise ValueError(
                f"y_true of dtype {dtype.name}: must be floats in [-1, 1]; "
                f"{type(self).__name__}(targets='levels') takes integer levels"
            )
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        if self.targets == "levels":
            levels = require_levels(y_true, self.num_levels)
            y_true = tf.cast(levels_to_input(levels, self.num_levels), self.dtype)
        return self.image_loss(y_true, y_pred)

    def image_loss(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """The loss of each image, `[B]`; `images` are level values in [-1, 1]."""
        raise NotImplementedError

    def get_config(self):
        config = super().get_config()
        # Keras' own leaves out the dtype.
        return config | {
            "num_levels": self.num_levels,
            "targets": self.targets,
            "dtype": self.dtype,
        }


@keras.saving.register_keras_serializable("pixelcnn_tf")
class DiscretizedMixLogisticLoss(PixelLoss):
    """Nats of an image under the mixture of discretized logistics: the loss of PixelCNN++.

    The number of components is read from `y_pred`, `[B, H, W, 10 K]` (3 channels) or
    `[B, H, W, 3 K]`.

    Args: see `PixelLoss`.

    Example:
      >>> loss = DiscretizedMixLogisticLoss(targets="levels")
      >>> loss(tf.zeros([2, 4, 4, 1], tf.uint8), tf.zeros([2, 4, 4, 6])).shape
      TensorShape([])
    """

    def image_loss(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        return discretized_mix_logistic_loss(images, parameters, False, self.num_levels)


@keras.saving.register_keras_serializable("pixelcnn_tf")
class CategoricalLoss(PixelLoss):
    """Nats of an image under a softmax over the levels: the loss of PixelCNN, PixelRNN and Gated
    PixelCNN. `y_pred` is `[B, H, W, C * num_levels]`.

    Args: see `PixelLoss`.
    """

    def image_loss(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        return Categorical(images.shape[-1], self.num_levels).loss(images, parameters)


@keras.saving.register_keras_serializable("pixelcnn_tf")
class EnergyDistanceLoss(PixelLoss):
    """The energy distance of an image to its samples `y_pred` `[K, B, H, W, C]`: the loss of
    `PixelCNNPlusPlus(energy_distance=True)`. No likelihood.

    Args: see `PixelLoss`.
    """

    def image_loss(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        return energy_distance(images, parameters, sum_all=False)


LOSSES = {
    DiscretizedMixLogistic: DiscretizedMixLogisticLoss,
    Categorical: CategoricalLoss,
    EnergyDistance: EnergyDistanceLoss,
}


def refuse_another_loss(likelihood: Likelihood, loss: object) -> None:
    """Raises ValueError if `loss` is one of this library's, but not that of a model's likelihood:
    it would give a number all the same."""
    kind = LOSSES.get(type(likelihood))
    if kind is None or type(loss) not in LOSSES.values():
        return
    levels_matter = kind is not EnergyDistanceLoss
    if type(loss) is not kind or (levels_matter and loss.num_levels != likelihood.num_levels):
        raise ValueError(
            f"{type(loss).__name__} of {loss.num_levels} levels: the model's is "
            f"{kind.__name__} of {likelihood.num_levels}; loss_of(model.likelihood) makes it"
        )


def loss_of(
    likelihood: Likelihood, targets: str = "values", reduction: str | None = "sum"
) -> PixelLoss:
    """The Keras loss of a model's likelihood, with its number of levels.

    Args:
      likelihood: `model.likelihood`.
      targets, reduction: see `PixelLoss`.

    Raises:
      ValueError: for a likelihood that is not of this library.
    """
    if type(likelihood) not in LOSSES:
        names = ", ".join(kind.__name__ for kind in LOSSES)
        raise ValueError(f"likelihood={likelihood!r}: must be one of {names}")
    return LOSSES[type(likelihood)](likelihood.num_levels, targets, reduction)
