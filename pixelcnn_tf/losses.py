"""Objectives as Keras losses, for `model.compile` and `model.fit`.

They are registered with Keras, so a compiled model can be saved and loaded. Like the official loss
they are a SUM over the batch by default: the epsilon of `OfficialAdam` refers to that scale.
"""

import keras
import tensorflow as tf

from pixelcnn_tf.levels import check_num_levels, levels_to_input, require_levels
from pixelcnn_tf.likelihoods.base import Objective
from pixelcnn_tf.likelihoods.categorical import Categorical
from pixelcnn_tf.likelihoods.discretized_mix_logistic import (
    DiscretizedMixLogistic,
    discretized_mix_logistic_loss,
)
from pixelcnn_tf.likelihoods.energy import EnergyDistance, energy_distance

TARGETS = ("values", "levels")
NO_TARGETS = "y is missing: the targets are the images themselves, as in model.fit(images, images)"


class PixelLoss(keras.losses.Loss):
    """Base of the losses here: one loss per image, `[B]`, which Keras reduces.

    `y_true` are the images `[B, H, W, C]` themselves, `y_pred` is the model's output.

    `sample_weight` `[B]` multiplies the loss of each image. With `reduction="sum"` under
    `tf.distribute` the gradients of all replicas are added, as in the official code; Keras displays
    the mean over batches of the sum over the global batch.

    Args:
      num_levels: number of levels per channel.
      targets: "values": `y_true` are level values, floats in [-1, 1]; "levels": integer levels
        0 ... num_levels - 1.
      reduction: Keras' own: "sum" (nats/batch), "sum_over_batch_size" (nats/image), or None.
      name: name of the loss.
      dtype: dtype of the computation; default: Keras' `floatx`.

    Raises:
      ValueError: for an argument that is not allowed; when called, for integers as "values", and
        when executing eagerly for "levels" out of range.
      InvalidArgumentError: when a graph runs, for "levels" out of range; XLA skips this check.
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
        # Keras casts everything to floats before `call`.
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
        # Keras' own configuration has no dtype.
        return config | {
            "num_levels": self.num_levels,
            "targets": self.targets,
            "dtype": self.dtype,
        }


@keras.saving.register_keras_serializable("pixelcnn_tf")
class DiscretizedMixLogisticLoss(PixelLoss):
    """Nats/image under the mixture of discretized logistics: the loss of PixelCNN++.

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
    """Nats/image under a softmax over the levels: the loss of PixelCNN, PixelRNN and Gated
    PixelCNN. `y_pred` is `[B, H, W, C * num_levels]`.

    Args: see `PixelLoss`.
    """

    def image_loss(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        return Categorical(images.shape[-1], self.num_levels).loss(images, parameters)


@keras.saving.register_keras_serializable("pixelcnn_tf")
class EnergyDistanceLoss(PixelLoss):
    """The energy distance between an image and its samples `y_pred` `[K, B, H, W, C]`: the loss of
    `PixelCNNPlusPlus(energy_distance=True)`. It is not a likelihood.

    Args: see `PixelLoss`.
    """

    def image_loss(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        return energy_distance(images, parameters, sum_all=False)


LOSSES = {
    DiscretizedMixLogistic: DiscretizedMixLogisticLoss,
    Categorical: CategoricalLoss,
    EnergyDistance: EnergyDistanceLoss,
}


def check_loss_matches(likelihood: Objective, loss: object) -> None:
    """Raises ValueError if `loss` belongs to another objective of this library than the model's:
    it would compute a number without an error, but the wrong one."""
    kind = LOSSES.get(type(likelihood))
    if kind is None or type(loss) not in LOSSES.values():
        return
    levels_matter = kind is not EnergyDistanceLoss
    if type(loss) is not kind or (levels_matter and loss.num_levels != likelihood.num_levels):
        raise ValueError(
            f"loss={type(loss).__name__}(num_levels={loss.num_levels}): the model needs "
            f"{kind.__name__}(num_levels={likelihood.num_levels}); use loss_of(model.likelihood)"
        )


def loss_of(
    likelihood: Objective, targets: str = "values", reduction: str | None = "sum"
) -> PixelLoss:
    """The Keras loss for a model's objective, with its number of levels.

    Args:
      likelihood: `model.likelihood`.
      targets, reduction: see `PixelLoss`.

    Raises:
      ValueError: for an objective without a Keras loss.
    """
    if type(likelihood) not in LOSSES:
        names = ", ".join(kind.__name__ for kind in LOSSES)
        raise ValueError(f"likelihood={likelihood!r}: must be one of {names}")
    return LOSSES[type(likelihood)](likelihood.num_levels, targets, reduction)
