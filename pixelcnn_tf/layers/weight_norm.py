"""Weight normalisation with data-dependent initialisation (Salimans & Kingma 2016).

Every convolution of the network is `y = (g * V / ||V||) conv x + b`: the direction `V` and
the length `g` of each output channel's kernel are separate weights. Before training, one
batch sets `g` and `b` so that each channel's pre-activation has mean 0 and standard deviation
`init_scale` over that batch.
"""

import math

import keras
import tensorflow as tf

from pixelcnn_tf.layers.hidden_kernels import HiddenKernel, mark_hidden

V_STDDEV = 0.05  # official nn.py: random_normal_initializer(0, 0.05), for V and hw
SQUARE_LEAST = 1e-12  # of a squared length, as in tf.nn.l2_normalize of the official code
INIT_EPSILON = 1e-10  # official nn.py: inside the root of the variance in the init pass


def normalized(v, g, axes):
    """`g * v / ||v||`, with a gradient of few operations.

    Args:
      v: the direction, any float tensor.
      g: the length of each channel, shaped so that it is broadcast along `axes`.
      axes: the axes of the norm.
    """

    @tf.custom_gradient
    def normalize(v, g):
        # Not tf.raw_ops.EuclideanNorm, which XLA does not support.
        square = tf.reduce_sum(tf.square(v), axis=axes, keepdims=True)
        inverse = tf.math.rsqrt(tf.maximum(square, SQUARE_LEAST))
        scale = g * inverse  # one factor per channel: saves an operation and a copy of v's size

        def gradient(upstream):
            of_g = tf.reduce_sum(upstream * v, axis=axes, keepdims=True) * inverse
            # Below the least length the scale does not depend on v.
            along = of_g * inverse * tf.cast(square > SQUARE_LEAST, v.dtype)
            return scale * (upstream - along * v), of_g

        return scale * v, gradient

    return normalize(v, g)


class WeightNormLayer(keras.layers.Layer):
    """Base of the weight-normalised layers: holds `V`, `g`, `b` and runs the init pass.

    A subclass creates its variables with `add_weight_norm` in `build` and defines
    `linear(x, kernel, bias)`, the linear map and the bias, and, if the official code crops its
    output, `crop(y)`.

    Args:
      filters: number of output channels.
      init_scale: standard deviation of the pre-activation after the init pass.

    Attributes:
      hidden: whether the layer is between the first and the last layer; set before `build`.
    """

    hidden = True

    def __init__(self, filters, init_scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.init_scale = init_scale

    def add_weight_norm(self, shape, norm_axes, filter_axis):
        """Creates V ~ N(0, 0.05) of `shape`, g = 1 and b = 0 of `[filters]`.

        Args:
          shape: shape of the kernel.
          norm_axes: axes of the kernel over which an output channel's norm is computed.
          filter_axis: axis of the kernel's output channels.
        """
        self.norm_axes = tuple(norm_axes)
        self.g_shape = [self.filters if axis == filter_axis else 1 for axis in range(len(shape))]
        # autocast=False: the normalisation is computed in the variables' precision; `kernel` casts
        # its result to the compute dtype.
        normal = keras.initializers.RandomNormal(0.0, V_STDDEV)
        self.V = self.add_weight(shape=shape, initializer=normal, name="V", autocast=False)
        if self.hidden:
            fan_in = math.prod(shape) // self.filters
            mark_hidden(self.V, HiddenKernel(filter_axis, fan_in, weight_normalized=True))
        self.g = self.add_weight(shape=[self.filters], initializer="ones", name="g", autocast=False)
        self.b = self.add_weight(
            shape=[self.filters], initializer="zeros", name="b", autocast=False
        )

    def kernel(self):
        """The effective kernel `g * V / ||V||` in the compute dtype, shaped like `V`."""
        v, g = tf.convert_to_tensor(self.V), tf.convert_to_tensor(self.g)
        kernel = normalized(v, tf.reshape(g, self.g_shape), self.norm_axes)
        return tf.cast(kernel, self.compute_dtype)

    def bias(self):
        """`b` in the compute dtype, `[filters]`."""
        return tf.cast(tf.convert_to_tensor(self.b), self.compute_dtype)

    def effective_weights(self):
        """`(kernel, bias)` for `call`, to normalise once if the layer runs several times."""
        return self.kernel(), self.bias()

    def linear(self, x, kernel, bias):
        raise NotImplementedError

    def crop(self, y):
        return y

    def call(self, x, init=False, weights=None):
        """`linear(x)`; with `init=True` (eager) first sets g and b from the batch `x`.

        `weights` is the result of `effective_weights`, if it is already computed.
        """
        kernel, bias = self.effective_weights() if weights is None else weights
        y = self.linear(x, kernel, bias)
        if init:
            mean, variance = tf.nn.moments(y, axes=list(range(y.shape.rank - 1)))
            scale = self.init_scale / tf.sqrt(variance + INIT_EPSILON)
            self.g.assign(self.g * tf.cast(scale, self.g.dtype))
            self.b.assign(self.b - tf.cast(mean * scale, self.b.dtype))
            y = self.linear(x, *self.effective_weights())
        return self.crop(y)

    def get_config(self):
        return super().get_config() | {"filters": self.filters, "init_scale": self.init_scale}
