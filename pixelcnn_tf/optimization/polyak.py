"""Polyak averaging: the exponential moving average of the weights.

Evaluation and sampling use it (official flag `polyak_decay`,
`tf.train.ExponentialMovingAverage`). The average is stored in a second model of the same
configuration, which can be scored, sampled and saved like any model.
"""

import keras
import tensorflow as tf

from pixelcnn_tf.checks import require_bool, require_share
from pixelcnn_tf.optimization.adam import subtract


class PolyakAverage:
    """Keeps `averaged_model`'s variables at the moving average of `model`'s.

    Update t = 0, 1, ...: `s <- s - (1 - d) (s - p)`, where `d = min(polyak_decay, (1 + t) /
    (10 + t))` with warm-up, so that short runs have a useful average, and `d = polyak_decay`
    without (the official code). `non_gradient_variables` are averaged too. Deviation (see
    BUILD_NOTES.md): the average starts from the initialised values and is updated after each step.
    Under `tf.distribute`, call both methods in cross-replica context.

    Args:
      model: the trained model.
      averaged_model: another model of the same configuration; its variables are overwritten. The
        weights of `model.encoder` are copied to its `encoder` at once, unless they are the same
        object.
      polyak_decay: decay, 0 <= polyak_decay < 1.
      warmup: smaller decay in the first updates; False: the official constant decay.

    Raises:
      ValueError: if the decay is out of range or the models' variables differ in shape.
    """

    def __init__(
        self,
        model: keras.Model,
        averaged_model: keras.Model,
        polyak_decay: float = 0.9995,
        warmup: bool = True,
    ):
        def weights(model):
            return [*model.trainable_variables, *getattr(model, "non_gradient_variables", [])]

        self.pairs = [
            (shadow.value, variable.value)
            for shadow, variable in zip(weights(averaged_model), weights(model), strict=True)
        ]
        for shadow, variable in self.pairs:
            if shadow.shape != variable.shape:
                raise ValueError(
                    f"averaged_model: {variable.name} must have the shape {variable.shape}, got "
                    f"{shadow.shape}"
                )
        self.polyak_decay = require_share("polyak_decay", polyak_decay)
        self.warmup = require_bool("warmup", warmup)
        self.updates = tf.Variable(0, trainable=False, dtype=tf.int64, name="updates")
        encoders = [getattr(each, "encoder", None) for each in (averaged_model, model)]
        if encoders[0] is not encoders[1]:
            encoders[0].set_weights(encoders[1].get_weights())

    def start(self) -> None:
        """Copies the model's current values into the average, and starts the warm-up again."""
        self.updates.assign(0)
        for shadow, variable in self.pairs:
            shadow.assign(variable)

    def decay(self, updates: int | tf.Tensor) -> tf.Tensor:
        """The decay of the update after `updates` others, a float64 scalar."""
        decay = tf.constant(self.polyak_decay, tf.float64)
        if not self.warmup:
            return decay
        t = tf.cast(updates, tf.float64)
        return tf.minimum(decay, (1.0 + t) / (10.0 + t))

    def update(self, updates: int | tf.Tensor | None = None) -> None:
        """Updates the average with the model's current values; works inside a `tf.function`.

        Args:
          updates: how many there were before; default: those since `start`.
        """
        extended = tf.distribute.get_strategy().extended
        if updates is None:
            updates = tf.convert_to_tensor(self.updates)
            self.updates.assign_add(1)
        share = 1.0 - self.decay(updates)
        shares = {dtype: tf.cast(share, dtype) for dtype in {s.dtype for s, _ in self.pairs}}
        previous = {}  # device -> the last change there; one after the other, see OfficialAdam

        def update(shadow, variable):
            with tf.control_dependencies(previous.get(shadow.device, [])):
                change = shadow - variable
                subtract(shadow, shares[shadow.dtype], change)
            previous[shadow.device] = [change]

        for shadow, variable in self.pairs:
            extended.update(shadow, update, args=(variable,))
