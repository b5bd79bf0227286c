"""The mixture of discretized logistics as a TensorFlow Probability distribution.

Not imported by `pixelcnn_tf`: importing TensorFlow Probability takes seconds.
"""

import tensorflow as tf
import tensorflow_probability as tfp

from pixelcnn_tf.levels import check_num_levels
from pixelcnn_tf.likelihoods import discretized_mix_logistic as mixture
from pixelcnn_tf.random import as_seed

tfd = tfp.distributions


class DiscretizedMixLogisticPixel(tfd.Distribution):
    """Distribution of a pixel's channels given the network's output for it.

    Batch shape: the leading axes of `l`, for example `[B, H, W]`; event shape `[C]`, level
    values in [-1, 1]. `tfd.Independent(distribution, 2)` is the distribution of all pixels of
    an image given the network's output for it.

    Args:
      l: the network's output `[..., 10 * nr_mix]` (C = 3) or `[..., 3 * nr_mix]` (C = 1).
      nr_mix: number of mixture components.
      num_levels: number of levels per channel.

    Raises:
      ValueError: if the last axis of `l` does not fit `nr_mix`, or `num_levels` is out of range.

    Example:
      >>> pixel = DiscretizedMixLogisticPixel(tf.zeros([2, 4, 4, 30]), nr_mix=3)
      >>> pixel.log_prob(pixel.sample(seed=[1, 2])).shape
      TensorShape([2, 4, 4])
    """

    def __init__(
        self,
        l: tf.Tensor,  # noqa: E741 (the official name)
        nr_mix: int,
        num_levels: int = 256,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "DiscretizedMixLogisticPixel",
    ):
        parameters = dict(locals())
        self._l = tf.convert_to_tensor(l)
        self._nr_mix = nr_mix
        self._num_levels = check_num_levels(num_levels)
        self._num_channels = mixture.num_channels(self._l.shape[-1], nr_mix)
        super().__init__(
            dtype=tf.float64 if self._l.dtype == tf.float64 else tf.float32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=validate_args,
            allow_nan_stats=allow_nan_stats,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {"l": tfp.util.ParameterProperties(event_ndims=1)}

    @property
    def l(self):  # noqa: E743
        """The network's output."""
        return self._l

    def _event_shape(self):
        return tf.TensorShape([self._num_channels])

    def _event_shape_tensor(self):
        return tf.constant([self._num_channels])

    def _batch_shape(self):
        return self._l.shape[:-1]

    def _batch_shape_tensor(self, **_):
        return tf.shape(self._l)[:-1]

    def _log_prob(self, value):
        split = mixture.split_parameters(self._l, self._nr_mix)
        return mixture.mixture_log_prob(value, split, self._num_levels)

    def _sample_n(self, n, seed=None):
        l = tf.broadcast_to(self._l, tf.concat([[n], tf.shape(self._l)], axis=0))  # noqa: E741
        l = tf.ensure_shape(l, [None, *self._l.shape])  # noqa: E741
        seed = tfp.random.sanitize_seed(seed, salt="discretized_mix_logistic")
        return mixture.sample_from_discretized_mix_logistic(
            l, self._nr_mix, seed=as_seed(seed), num_levels=self._num_levels
        )
