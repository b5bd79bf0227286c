"""A softmax over the levels of every sub-pixel: the likelihood of PixelCNN, PixelRNN and Gated
PixelCNN (van den Oord et al. 2016a, section 2.2).
"""

import tensorflow as tf

from pixelcnn_tf.levels import check_num_levels, input_to_levels, levels_to_input
from pixelcnn_tf.likelihoods.base import Likelihood


class Categorical(Likelihood):
    """A categorical distribution over the levels of every sub-pixel, given by logits.

    Parameters: `[B, H, W, C * num_levels]`. Channel c's logits are the slice
    `[c * num_levels : (c + 1) * num_levels]`, level 0 (the value -1) first.

    The channels of a pixel are independent given its parameters. A model in which one channel
    depends on another (G on R) does so inside its network, and needs one pass per channel when
    sampling (`AutoregressiveModel.passes_per_pixel`).

    Args:
      channels: channels C of the image.
      num_levels: number of levels per channel.
    """

    def __init__(self, channels: int, num_levels: int = 256):
        self.channels = channels
        self.num_levels = check_num_levels(num_levels)
        self.num_parameters = channels * num_levels
        self.num_uniforms = channels

    def logits(self, parameters: tf.Tensor) -> tf.Tensor:
        """The logits of every sub-pixel, `[..., C, num_levels]`, float32 (float64 stays float64).

        Raises:
          ValueError: if the last axis of `parameters` is not `C * num_levels`.
        """
        parameters = tf.convert_to_tensor(parameters)
        if parameters.shape[-1] != self.num_parameters:
            raise ValueError(
                f"parameters of shape {parameters.shape}: the last axis must be "
                f"{self.channels} channels * {self.num_levels} levels = {self.num_parameters}"
            )
        if parameters.dtype != tf.float64:
            parameters = tf.cast(parameters, tf.float32)
        shape = tf.concat([tf.shape(parameters)[:-1], [self.channels, self.num_levels]], axis=0)
        logits = tf.reshape(parameters, shape)
        return tf.ensure_shape(logits, [*parameters.shape[:-1], self.channels, self.num_levels])

    def log_prob(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        levels = input_to_levels(images, self.num_levels)  # [B, H, W, C]
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(levels, self.logits(parameters))
        return -tf.reduce_sum(nats, axis=-1)

    def sample(
        self,
        parameters: tf.Tensor,
        uniforms: tf.Tensor,
        quantize: bool = True,
        temperature: tf.Tensor | float = 1.0,
    ) -> tf.Tensor:
        """Samples each sub-pixel through the inverse of its distribution function.

        The result is always a level, also with `quantize=False`. The uniforms lie in
        [1e-5, 1 - 1e-5] (`sampling.pixel_uniforms`), so the outermost 1e-5 of the probability is
        never drawn.
        """
        logits = self.logits(parameters)
        probabilities = tf.nn.softmax(logits / tf.cast(temperature, logits.dtype))
        below = tf.cumsum(probabilities, axis=-1)  # P(level <= 0 ... num_levels - 1)
        # With thousands of levels the sum is not exactly 1.
        places = tf.cast(uniforms, logits.dtype)[..., None] * below[..., -1:]
        passed = places >= below[..., :-1]
        levels = tf.reduce_sum(tf.cast(passed, tf.int32), axis=-1)
        return tf.cast(levels_to_input(levels, self.num_levels), logits.dtype)
