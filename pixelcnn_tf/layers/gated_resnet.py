"""The gated residual block of both streams (official `nn.gated_resnet`)."""

import keras
import tensorflow as tf

from pixelcnn_tf.layers.nonlinearities import get_nonlinearity
from pixelcnn_tf.layers.shifted_convolutions import DownRightShiftedConv2D, DownShiftedConv2D, Nin
from pixelcnn_tf.layers.weight_norm import V_STDDEV

GATE_INIT_SCALE = 0.1  # official nn.gated_resnet: init_scale of the second convolution

STREAM_CONVOLUTIONS = {"vertical": DownShiftedConv2D, "horizontal": DownRightShiftedConv2D}


@keras.saving.register_keras_serializable("pixelcnn_tf")
class AuxiliaryNin(Nin):
    """`nin(f(concat(parts)))`, computed from `(f(part), ...)`, which other layers use too.

    Args:
      filters: number of output channels.
      widening: output channels of f per input channel: 2 for concat_elu, which concatenates `x` and
        `-x`, else 1.
    """

    def __init__(self, filters, widening=1, **kwargs):
        super().__init__(filters, **kwargs)
        self.widening = widening

    def build(self, input_shapes):
        self.sizes = tuple(shape[-1] // self.widening for shape in input_shapes)
        super().build([*input_shapes[0][:-1], self.widening * sum(self.sizes)])

    def kernels(self, kernel):
        """The rows of the kernel that belong to each part: a list of `[widening * C, filters]`."""
        if len(self.sizes) == 1:
            return [kernel]
        blocks = tf.split(kernel, list(self.sizes * self.widening))
        parts = len(self.sizes)
        return [tf.concat(blocks[part::parts], axis=0) for part in range(parts)]

    def linear(self, x, kernel, bias):
        first, *others = zip(x, self.kernels(kernel), strict=True)
        y = super().linear(*first, bias)
        for part, rows in others:
            y += super().linear(part, rows, None)
        return y

    def get_config(self):
        return super().get_config() | {"widening": self.widening}


@keras.saving.register_keras_serializable("pixelcnn_tf")
class GatedResnet(keras.layers.Layer):
    """`x + a * sigmoid(b)`, where `[a, b] = conv(dropout(f(conv(f(x)) + nin(f(aux))))) + h hw`.

    Maps `[B, H, W, filters]` to the same shape.

    Args:
      filters: number of channels (`nr_filters`).
      stream: "vertical" (down-shifted convolutions) or "horizontal" (down-right-shifted).
      resnet_nonlinearity: f, by name: "concat_elu", "elu" or "relu".
      auxiliary: whether the block has an auxiliary input `a`.
      num_conditions: length of the conditioning vector, or channels of the map, `h`; or None.

    Raises:
      ValueError: for an unknown stream or nonlinearity.
    """

    def __init__(
        self,
        filters,
        stream,
        resnet_nonlinearity="concat_elu",
        auxiliary=False,
        num_conditions=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if stream not in STREAM_CONVOLUTIONS:
            raise ValueError(f"stream={stream!r}: must be 'vertical' or 'horizontal'")
        self.filters = filters
        self.stream = stream
        self.resnet_nonlinearity = resnet_nonlinearity
        self.auxiliary = auxiliary
        self.num_conditions = num_conditions

        self.nonlinearity = get_nonlinearity(resnet_nonlinearity)
        conv, dtype = STREAM_CONVOLUTIONS[stream], self.dtype_policy
        self.conv_in = conv(filters, dtype=dtype, name="conv_in")
        self.widening = self.nonlinearity(tf.zeros([1, 1])).shape[-1]
        self.nin = None
        if auxiliary:
            self.nin = AuxiliaryNin(filters, self.widening, dtype=dtype, name="nin")
        self.conv_gate = conv(
            2 * filters, init_scale=GATE_INIT_SCALE, dtype=dtype, name="conv_gate"
        )

    def build(self, x_shape, a_shape=()):
        self.hw = None
        if self.num_conditions is not None:
            self.hw = self.add_weight(
                shape=[self.num_conditions, 2 * self.filters],
                initializer=keras.initializers.RandomNormal(0.0, V_STDDEV),
                name="hw",
            )

        def activated(shape):
            return (*shape[:-1], self.widening * shape[-1])

        self.conv_in.build(activated(x_shape))
        if self.nin is not None:
            self.nin.build([activated(shape) for shape in a_shape])
        self.conv_gate.build(activated((*x_shape[:-1], self.filters)))

    def call(self, x, a=None, h=None, dropout=None, init=False, weights=None, activated=None):
        """Runs the block.

        Args:
          x: `[B, H, W, filters]`.
          a: the auxiliary input, a tuple of tensors `[B, H, W, any]`, which the layer treats as
            concatenated over channels; required if and only if `auxiliary`.
          h: conditioning vector `[B, num_conditions]`, or map `[B, H, W, num_conditions]`, or None.
          dropout: function applied after the inner nonlinearity, or None.
          init: run the data-dependent initialisation (see `WeightNormLayer.call`).
          weights: the result of `effective_weights`, if it is already computed.
          activated: `(f(x), (f(part), ...))` for `x` and the parts of `a`, if already computed.

        Returns:
          `[B, H, W, filters]`.
        """
        w = weights or {}
        f = self.nonlinearity
        x_activated, a_activated = activated or (f(x), tuple(f(part) for part in a or ()))
        c1 = self.conv_in(x_activated, init=init, weights=w.get("conv_in"))
        if a:
            c1 = c1 + self.nin(a_activated, init=init, weights=w.get("nin"))
        c1 = self.nonlinearity(c1)
        if dropout is not None:
            c1 = dropout(c1)
        c2 = self.conv_gate(c1, init=init, weights=w.get("conv_gate"))  # [B, H, W, 2 * filters]
        if h is not None:
            added = self.condition(h, w.get("hw"))
            c2 = c2 + (added if added.shape.rank == 4 else added[:, None, None, :])
        value, gate = tf.split(c2, 2, axis=-1)
        return x + value * tf.sigmoid(gate)

    def effective_weights(self):
        """Everything that `call` computes from the variables alone, a nested dict of tensors."""
        weights = {
            "conv_in": self.conv_in.effective_weights(),
            "conv_gate": self.conv_gate.effective_weights(),
        }
        if self.nin is not None:
            weights["nin"] = self.nin.effective_weights()
        if self.hw is not None:
            weights["hw"] = tf.cast(tf.convert_to_tensor(self.hw), self.compute_dtype)
        return weights

    def condition(self, h, hw=None):
        """The projection of `h` that is added to `[a, b]`: vectors `[B, num_conditions]` ->
        `[B, 2 * filters]`, maps `[..., num_conditions]` -> `[..., 2 * filters]`."""
        hw = tf.cast(tf.convert_to_tensor(self.hw) if hw is None else hw, self.compute_dtype)
        h = tf.cast(h, self.compute_dtype)
        return tf.matmul(h, hw) if h.shape.rank == 2 else tf.tensordot(h, hw, 1)

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "stream": self.stream,
            "resnet_nonlinearity": self.resnet_nonlinearity,
            "auxiliary": self.auxiliary,
            "num_conditions": self.num_conditions,
        }
