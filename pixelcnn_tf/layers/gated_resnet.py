"""The gated residual block of both streams (official `nn.gated_resnet`)."""

import keras
import tensorflow as tf

from pixelcnn_tf.layers.nonlinearities import get_nonlinearity
from pixelcnn_tf.layers.shifted_convolutions import DownRightShiftedConv2D, DownShiftedConv2D, Nin
from pixelcnn_tf.layers.weight_norm import V_STDDEV

GATE_INIT_SCALE = 0.1  # official nn.gated_resnet: init_scale of the second convolution

STREAM_CONVOLUTIONS = {"vertical": DownShiftedConv2D, "horizontal": DownRightShiftedConv2D}


@keras.saving.register_keras_serializable("pixelcnn_tf")
class GatedResnet(keras.layers.Layer):
    """`x + a * sigmoid(b)`, where `[a, b] = conv(dropout(f(conv(f(x)) + nin(f(aux))))) + h hw`.

    Maps `[B, H, W, filters]` to the same shape.

    Args:
      filters: number of channels (`nr_filters`).
      stream: "vertical" (down-shifted convolutions) or "horizontal" (down-right-shifted).
      resnet_nonlinearity: f, by name: "concat_elu", "elu" or "relu".
      auxiliary: whether the block has an auxiliary input `a`.
      num_conditions: length of the conditioning vector `h`, or None.
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
        self.nin = Nin(filters, dtype=dtype, name="nin") if auxiliary else None
        self.conv_gate = conv(
            2 * filters, init_scale=GATE_INIT_SCALE, dtype=dtype, name="conv_gate"
        )

    def build(self, *_):
        self.hw = None
        if self.num_conditions is not None:
            self.hw = self.add_weight(
                shape=[self.num_conditions, 2 * self.filters],
                initializer=keras.initializers.RandomNormal(0.0, V_STDDEV),
                name="hw",
            )

    def call(self, x, a=None, h=None, dropout=None, init=False, weights=None):
        """Runs the block.

        Args:
          x: `[B, H, W, filters]`.
          a: the auxiliary input, `[B, H, W, any]`, or a tuple of such tensors that are
            concatenated over channels; required if and only if `auxiliary`.
          h: conditioning vector `[B, num_conditions]`, or None.
          dropout: function applied after the inner nonlinearity, or None.
          init: run the data-dependent initialisation (see `WeightNormLayer.call`).
          weights: of `effective_weights`, if they were computed before.

        Returns:
          `[B, H, W, filters]`.
        """
        w = weights or {}
        c1 = self.conv_in(self.nonlinearity(x), init=init, weights=w.get("conv_in"))
        if a is not None:
            a = tf.concat(a, axis=-1) if isinstance(a, (tuple, list)) else a
            c1 = c1 + self.nin(self.nonlinearity(a), init=init, weights=w.get("nin"))
        c1 = self.nonlinearity(c1)
        if dropout is not None:
            c1 = dropout(c1)
        c2 = self.conv_gate(c1, init=init, weights=w.get("conv_gate"))  # [B, H, W, 2 * filters]
        if h is not None:
            c2 = c2 + self.condition(h, w.get("hw"))[:, None, None, :]
        value, gate = tf.split(c2, 2, axis=-1)
        return x + value * tf.sigmoid(gate)

    def effective_weights(self):
        """What `call` computes from the variables, a nested dict of tensors."""
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
        """The projection of `h` that is added to `[a, b]`: `[B, 2 * filters]`."""
        hw = tf.cast(tf.convert_to_tensor(self.hw) if hw is None else hw, self.compute_dtype)
        return tf.matmul(tf.cast(h, self.compute_dtype), hw)

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "stream": self.stream,
            "resnet_nonlinearity": self.resnet_nonlinearity,
            "auxiliary": self.auxiliary,
            "num_conditions": self.num_conditions,
        }
