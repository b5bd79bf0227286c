"""Muon (Jordan et al. 2024): updates of hidden kernels that are nearly orthogonal matrices."""

import keras
import tensorflow as tf

from pixelcnn_tf.layers.hidden_kernels import HiddenKernel, hidden_kernel
from pixelcnn_tf.optimization.adam import OfficialAdam, subtract

# The Newton-Schulz iteration: coefficients and number of steps (Jordan et al. 2024).
COEFFICIENTS, ITERATIONS = (3.4445, -4.7750, 2.0315), 5
UPDATE_RMS = 0.2  # root mean square of an update's entries (Liu et al. 2025, section 2.2)


def orthogonalize(matrices: tf.Tensor) -> tf.Tensor:
    """The nearest semi-orthogonal matrices to `[..., N, M]`, approximately.

    Singular values above about 1e-3 of the Frobenius norm come out between 0.6 and 1.3.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = tf.linalg.matrix_transpose(matrices) if tall else matrices
    x /= tf.norm(x, axis=(-2, -1), keepdims=True) + 1e-7
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * square + c * tf.matmul(square, square), x)
    return tf.linalg.matrix_transpose(x) if tall else x


def muon_direction(gradient: tf.Tensor, variable: tf.Tensor, kernel: HiddenKernel) -> tf.Tensor:
    """Muon's update of a kernel before the learning rate, shaped like the kernel.

    The gradient (with momentum) is made orthogonal as a matrix `[fan-in, filters]`. A
    weight-normalised kernel is then scaled by `max(1, sqrt(filters / fan-in))` and by the norm of
    each filter: the learning rate is the angle by which a filter rotates per step, in radians. Any
    other kernel is scaled to entries of root mean square 0.2.
    """
    axis, rank = kernel.filter_axis, len(gradient.shape)
    order = [other for other in range(rank) if other != axis] + [axis]
    inverse = [order.index(place) for place in range(rank)]
    moved = tf.transpose(gradient, order)
    filters = moved.shape[-1]
    matrix = orthogonalize(tf.reshape(moved, [-1, filters]))
    direction = tf.transpose(tf.reshape(matrix, moved.shape), inverse)
    if kernel.mask is not None:
        direction *= tf.cast(kernel.mask, direction.dtype)
    if not kernel.weight_normalized:
        return direction * UPDATE_RMS * max(kernel.fan_in, filters) ** 0.5
    others = [place for place in range(rank) if place != axis]
    norm = tf.sqrt(tf.reduce_sum(tf.square(variable), axis=others, keepdims=True))
    return direction * norm * max(1.0, filters / kernel.fan_in) ** 0.5


@keras.saving.register_keras_serializable("pixelcnn_tf")
class Muon(OfficialAdam):
    """Muon for the kernels of hidden layers, the official Adam for all other weights.

    Hidden kernels are V of the gated residual blocks and of the layers between them in PixelCNN++,
    and the masked kernels between the first layer and the head in the other models. Step t = 1, 2,
    ...: `m <- momentum m + gradient`; the update is `muon_direction(gradient + momentum m)` times
    `muon_learning_rate * lr_decay^t`. It does not depend on the scale of the loss.

    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks". Not part of the
    official code.

    Args:
      learning_rate: of Adam, before any decay.
      muon_learning_rate: of Muon, before any decay.
      momentum: of Muon (Nesterov).
      **kwargs: see `OfficialAdam`; `lr_decay` applies to both learning rates.

    Raises:
      ValueError: in `build`, if no variable is a kernel of a hidden layer.
    """

    def __init__(
        self,
        learning_rate: float = 2e-3,
        muon_learning_rate: float = 1e-2,
        momentum: float = 0.95,
        name: str = "muon",
        **kwargs,
    ):
        super().__init__(learning_rate, name=name, **kwargs)
        self.muon_learning_rate = muon_learning_rate
        self.momentum = momentum

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        self.hidden_kernels = [hidden_kernel(variable) for variable in variables]
        if not any(self.hidden_kernels):
            raise ValueError(
                f"optimizer=Muon: none of the {len(variables)} variables is the kernel of a hidden "
                "layer; supported are PixelCNNPlusPlus, GatedPixelCNN, PixelCNN, RowLSTM and "
                "DiagonalBiLSTM"
            )
        super().build(variables)

    def has_second_moment(self, variable: keras.Variable) -> bool:
        return hidden_kernel(variable) is None

    def apply(self, grads, trainable_variables=None):
        step = tf.convert_to_tensor(self.iterations) + 1
        self.muon_rate = tf.cast(self.muon_learning_rate * self.decay(step), tf.float32)
        super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        kernel = self.hidden_kernels[index]
        if kernel is None:
            super().update_step(gradient, variable, learning_rate)
            return
        momentum = self.first_moments[index].value
        with tf.control_dependencies(self.previous.get(gradient.device, [])):
            gradient = tf.cast(tf.convert_to_tensor(gradient), momentum.dtype)
            moved = self.momentum * momentum + gradient
            tf.raw_ops.AssignVariableOp(resource=momentum.handle, value=moved)
            nesterov = gradient + self.momentum * moved
            update = muon_direction(nesterov, tf.convert_to_tensor(variable), kernel)
            subtract(variable, tf.cast(self.muon_rate, update.dtype), update)
        self.previous[gradient.device] = [update]

    def get_config(self):
        return super().get_config() | {
            "muon_learning_rate": self.muon_learning_rate,
            "momentum": self.momentum,
        }
