"""The heads: the last layers, from the network's features to the parameters of the objective."""

import keras
import tensorflow as tf

from pixelcnn_tf.layers.masked_convolution import MaskedConv2D
from pixelcnn_tf.layers.nonlinearities import concat_elu
from pixelcnn_tf.layers.shifted_convolutions import Nin
from pixelcnn_tf.renamed import renamed

# The energy head, all from the official code (model_spec).
NUM_SAMPLES = 10  # samples per training image
NUM_NOISE = 4  # noise channels, uniform in [-1, 1]
NUM_HIDDEN = 64  # units of the head
OUTPUT_INIT_SCALE = 0.1  # init_scale of the head's last layer


@keras.saving.register_keras_serializable("pixelcnn_tf")
class MixtureHead(keras.layers.Layer):
    """`nin(elu(ul))`: `[B, H, W, nr_filters]` -> the parameters of every pixel's mixture."""

    def __init__(self, num_parameters, **kwargs):
        super().__init__(**kwargs)
        self.num_parameters = self.filters = num_parameters
        self.nin = Nin(num_parameters, dtype=self.dtype_policy, name="nin")
        self.nin.hidden = False

    def build(self, ul_shape):
        self.nin.build(ul_shape)

    def call(self, ul, init=False):
        return self.nin(tf.nn.elu(ul), init=init)

    def get_config(self):
        return super().get_config() | {"num_parameters": self.num_parameters}


@keras.saving.register_keras_serializable("pixelcnn_tf")
class EnergyHead(keras.layers.Layer):
    """Maps the horizontal stream and noise to samples of every pixel (`model_spec`).

    Args:
      channels: channels of the image.
    """

    def __init__(self, channels=3, **kwargs):
        super().__init__(**kwargs)
        self.channels = self.filters = channels
        dtype = self.dtype_policy
        self.nin_features = Nin(NUM_HIDDEN, dtype=dtype, name="nin_features")
        self.nin_noise = Nin(NUM_HIDDEN, dtype=dtype, name="nin_noise")
        self.nin_hidden = Nin(NUM_HIDDEN, dtype=dtype, name="nin_hidden")
        self.nin_out = Nin(channels, OUTPUT_INIT_SCALE, dtype=dtype, name="nin_out")
        for nin in (self.nin_features, self.nin_noise, self.nin_hidden, self.nin_out):
            nin.hidden = False

    def build(self, ul_shape):
        around = ul_shape[:-1]
        self.nin_features.build(ul_shape)
        self.nin_noise.build((*around, NUM_NOISE))
        for nin in (self.nin_hidden, self.nin_out):
            nin.build((*around, 2 * NUM_HIDDEN))  # of concat_elu

    def call(self, ul, noise, init=False):
        """Maps `ul` `[B, H, W, F]` and noise `[K, B, H, W, 4]` in [-1, 1], or `[K * B, H, W, 4]`
        as in the official code, to samples `[K, B, H, W, channels]` in (-1, 1)."""
        if noise.shape.rank == 5:
            num_samples = noise.shape[0]
            noise = tf.reshape(noise, [-1, *noise.shape[2:]])
        else:
            num_samples = noise.shape[0] // ul.shape[0]
        features = self.nin_features(tf.nn.elu(ul), init=init)
        features = tf.tile(features, [num_samples, 1, 1, 1])
        hidden = features + self.nin_noise(noise, init=init)
        hidden = self.nin_hidden(concat_elu(hidden), init=init)
        samples = tf.tanh(self.nin_out(concat_elu(hidden), init=init))
        return tf.reshape(samples, [num_samples, -1, *ul.shape[1:3], self.channels])

    def get_config(self):
        return super().get_config() | {"channels": self.channels}


@keras.saving.register_keras_serializable("pixelcnn_tf")
@renamed({"nr_output_filters": "num_head_filters"})
class SoftmaxHead(keras.layers.Layer):
    """Two layers of ReLU and masked 1x1 convolution, ReLU, and a 1x1 convolution to the logits.

    `[B, H, W, any]` -> `[B, H, W, channels * num_levels]`, see `Categorical`.

    Args:
      channels: channels of the image.
      num_levels: number of levels per channel.
      num_head_filters: feature maps of the two layers.
    """

    def __init__(self, channels, num_levels, num_head_filters, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.num_levels = num_levels
        self.num_head_filters = num_head_filters

        def conv(filters, name):
            return MaskedConv2D(
                filters, (1, 1), groups=channels, dtype=self.dtype_policy, name=name
            )

        self.hidden = (conv(num_head_filters, "hidden_1"), conv(num_head_filters, "hidden_2"))
        self.logits = conv(channels * num_levels, "logits")
        for layer in (*self.hidden, self.logits):
            layer.hidden = False

    def call(self, x):
        for conv in self.hidden:
            x = conv(tf.nn.relu(x))
        return self.logits(tf.nn.relu(x))

    def get_config(self):
        return super().get_config() | {
            "channels": self.channels,
            "num_levels": self.num_levels,
            "num_head_filters": self.num_head_filters,
        }
