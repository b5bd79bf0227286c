"""The official Adam and its learning-rate decay (official `nn.adam_updates`, `train.py`)."""

import keras
import tensorflow as tf


def subtract(variable: tf.Variable, factor: tf.Tensor, change: tf.Tensor) -> None:
    """`variable -= factor * change` in one operation; `factor` is a scalar."""
    tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=factor, delta=change)


@keras.saving.register_keras_serializable("pixelcnn_tf")
class OfficialAdam(keras.optimizers.Optimizer):
    """Adam with epsilon inside the square root; the learning rate decays before every step.

    Step t = 1, 2, ...: `lr = learning_rate * lr_decay^t`, then
    `p -= lr * m_hat / sqrt(v_hat + epsilon)`. epsilon is on the scale of the official loss,
    which is a SUM of nats over the global batch; a mean loss would change the updates.
    Under `tf.distribute` gradients are summed over replicas, as in the official code.

    Args:
      learning_rate: before any decay (official flag `learning_rate`).
      beta_1: decay of the first moment (official `mom1`).
      beta_2: decay of the second moment (official `mom2`).
      epsilon: inside the root (official 1e-8).
      lr_decay: decay factor per step (official flag `lr_decay`).
    """

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta_1: float = 0.95,
        beta_2: float = 0.9995,
        epsilon: float = 1e-8,
        lr_decay: float = 0.999995,
        name: str = "official_adam",
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.lr_decay = lr_decay

    def build(self, variables):
        if self.built:
            return
        super().build(variables)

        def moment(variable, name):
            return self.add_variable_from_reference(variable, name=name, initializer="zeros")

        self.first_moments, self.second_moments = [], []
        for variable in variables:
            self.first_moments.append(moment(variable, "first_moment"))
            second = self.has_second_moment(variable)
            self.second_moments.append(moment(variable, "second_moment") if second else None)

    def has_second_moment(self, variable: keras.Variable) -> bool:
        """Whether the optimizer keeps a second moment of this weight."""
        return True

    def moments(self, variable: keras.Variable) -> tuple[keras.Variable, keras.Variable | None]:
        """The variables of a weight's first and second moment."""
        index = self._get_variable_index(variable)
        return self.first_moments[index], self.second_moments[index]

    def decayed_learning_rate(self, step: int | tf.Tensor) -> tf.Tensor:
        """The learning rate of step `step` = 1, 2, ..., a scalar."""
        return tf.cast(tf.cast(self.learning_rate, tf.float64) * self.decay(step), tf.float32)

    def decay(self, step: int | tf.Tensor) -> tf.Tensor:
        """`lr_decay^step`, a float64 scalar.

        The official code multiplies Python floats; float32 would be 3 % off after a million steps.
        """
        return tf.pow(tf.constant(self.lr_decay, tf.float64), tf.cast(step, tf.float64))

    def apply(self, grads, trainable_variables=None):
        """Makes one step.

        Args:
          grads: one gradient per variable, of the loss summed over the global batch.
          trainable_variables: the variables, in the order of `grads`; default: as in `build`.

        Raises:
          ValueError: if the optimizer is not built, or the numbers of gradients and variables
            differ.
        """
        grads = list(grads)
        if trainable_variables is None and not self.built:
            raise ValueError("trainable_variables=None: call build(variables) first, or pass them")
        variables = list(
            self._trainable_variables if trainable_variables is None else trainable_variables
        )
        if len(grads) != len(variables):
            raise ValueError(
                f"grads: must be one per variable, got {len(grads)} for {len(variables)} variables"
            )
        # Learning rate and bias corrections are the same for all variables: computed once.
        step = tf.convert_to_tensor(self.iterations) + 1
        lr = self.decayed_learning_rate(step)
        if trainable_variables is not None:
            self.build(variables)  # in this order
        dtypes = {v.dtype for v in variables}
        self.of_step = {dtype: self._scalars(step, lr, dtype) for dtype in dtypes}
        self.constants = {
            dtype: [tf.constant(x, dtype) for x in (0.0, 1.0, self.beta_1, self.beta_2)]
            for dtype in dtypes
        }
        self.previous = {}  # device -> the last update there
        # The last variables first, one after the other (`update_step`): backpropagation computes
        # their gradients first, so these need not stay in memory.
        super().apply(grads[::-1], variables[::-1])

    def _scalars(self, step, lr, dtype):
        """Learning rate and epsilon with the bias corrections applied, in a variable's dtype.

        `lr * (m / c_1) / sqrt(v / c_2 + epsilon)` is
        `lr * sqrt(c_2) / c_1 * m / sqrt(v + epsilon * c_2)`.
        """
        t = tf.cast(step, dtype)
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        correction_1, correction_2 = 1.0 - tf.pow(beta_1, t), 1.0 - tf.pow(beta_2, t)
        lr = tf.cast(lr, dtype) * tf.sqrt(correction_2) / correction_1
        return lr, self.epsilon * correction_2

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype if isinstance(variable.dtype, str) else variable.dtype.name
        lr, epsilon = self.of_step[dtype]
        m, v = (moment.value for moment in self.moments(variable))
        # One variable after the other: TensorFlow would start all updates at once, and keep about
        # six intermediate values of every weight in memory.
        with tf.control_dependencies(self.previous.get(gradient.device, [])):
            gradient = tf.cast(tf.convert_to_tensor(gradient), dtype)
            self._update_moments(gradient, variable, m, v)
            update = m * tf.math.rsqrt(v + epsilon)
            subtract(variable, lr, update)
        self.previous[gradient.device] = [update]

    def _update_moments(self, gradient, variable, m, v):
        """Updates both moments in one operation, TensorFlow's Adam with learning rate 0. It cannot
        update the variable too, since its epsilon is outside the root."""
        zero, one, beta_1, beta_2 = self.constants[gradient.dtype.name]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=m.handle,
            v=v.handle,
            beta1_power=zero,
            beta2_power=zero,
            lr=zero,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=one,
            grad=gradient,
        )

    def get_config(self):
        return super().get_config() | {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "lr_decay": self.lr_decay,
        }
