"""Dynamic loss scaling for float16, whose gradients would otherwise overflow or vanish."""

import tensorflow as tf

# Keras' LossScaleOptimizer starts at 2^15, for a mean loss. The official loss is a sum over the
# batch: some of its gradients exceed float16 (65,504) unscaled, so the scale starts at 1 and may
# fall below.
INITIAL_SCALE = 1.0
GROWTH_STEPS = 2000  # as in Keras: steps without overflow before the scale is doubled


class LossScale:
    """The loss's scale, halved after an overflow, doubled after 2,000 steps without one.

    Create it in the strategy's scope and call `update` in cross-replica context.
    """

    def __init__(self):
        self.scale = tf.Variable(INITIAL_SCALE, trainable=False, name="loss_scale")
        self.good_steps = tf.Variable(0, trainable=False, dtype=tf.int64, name="good_steps")

    @property
    def variables(self):
        return [self.scale, self.good_steps]

    def update(self, finite: tf.Tensor) -> None:
        """Adapts the scale to whether the gradients of a step were finite (a bool scalar)."""
        grows = self.good_steps + 1 >= GROWTH_STEPS
        grown = tf.where(finite & grows, self.scale * 2.0, self.scale)
        self.scale.assign(tf.where(finite, grown, self.scale / 2.0))
        self.good_steps.assign(tf.where(finite & ~grows, self.good_steps + 1, 0))
