"""Bits per dimension as a Keras metric."""

import keras
import tensorflow as tf

from pixelcnn_tf.likelihoods.base import nats_to_bits
from pixelcnn_tf.losses import DiscretizedMixLogisticLoss, EnergyDistanceLoss, PixelLoss


@keras.saving.register_keras_serializable("pixelcnn_tf")
class BitsPerDim(keras.metrics.Metric):
    """Bits per dimension (sub-pixel) over all images of an epoch.

    It is exact: nats and sub-pixels are summed in float64, so a smaller last batch has the right
    weight. With `weighted_metrics=`, images are weighted in the mean.

    Args:
      loss: the `PixelLoss` that scores an image; its reduction does not matter.
      name: name of the metric.
      dtype: Keras' own; the sums are always float64.

    Raises:
      ValueError: for any other loss, and for the energy distance, which is not a likelihood.

    Example:
      >>> metric = BitsPerDim(DiscretizedMixLogisticLoss(num_levels=2))
      >>> metric.update_state(tf.ones([2, 4, 4, 1]), tf.zeros([2, 4, 4, 3]))
      >>> round(float(metric.result()), 3)
      1.0
    """

    def __init__(
        self,
        loss: PixelLoss | None = None,
        name: str = "bits_per_dim",
        dtype: str | None = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.loss = DiscretizedMixLogisticLoss() if loss is None else loss
        if not isinstance(self.loss, PixelLoss) or isinstance(self.loss, EnergyDistanceLoss):
            raise ValueError(f"loss={loss!r}: must be a PixelLoss of a likelihood")
        self.nats = self.add_variable((), "zeros", dtype="float64", name="nats")
        self.sub_pixels = self.add_variable((), "zeros", dtype="float64", name="sub_pixels")

    def update_state(self, y_true, y_pred, sample_weight=None):
        nats = tf.cast(self._each(y_true, y_pred), tf.float64)  # [B]
        weights = tf.ones_like(nats)
        if sample_weight is not None:
            weights = tf.reshape(tf.cast(sample_weight, tf.float64), [-1])
        sub_pixels = tf.reduce_prod(tf.cast(tf.shape(y_true)[1:], tf.float64))
        self.nats.assign_add(tf.reduce_sum(nats * weights))
        self.sub_pixels.assign_add(tf.reduce_sum(weights) * sub_pixels)

    def _each(self, y_true, y_pred):
        """Nats of each image, `[B]`: the loss without its reduction."""
        each = type(self.loss).from_config(self.loss.get_config() | {"reduction": None})
        return each(y_true, y_pred)

    def result(self):
        return nats_to_bits(tf.math.divide_no_nan(self.nats.value, self.sub_pixels.value))

    def reset_state(self):
        self.nats.assign(0.0)
        self.sub_pixels.assign(0.0)

    def get_config(self):
        loss = keras.saving.serialize_keras_object(self.loss)
        return super().get_config() | {"loss": loss}

    @classmethod
    def from_config(cls, config):
        loss = keras.saving.deserialize_keras_object(config["loss"])
        return cls(**(config | {"loss": loss}))
