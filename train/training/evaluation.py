"""The exact score over every image of a split."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pixelcnn_tf.levels import levels_to_input
from pixelcnn_tf.models.base import AutoregressiveModel


def make_evaluate(
    model: AutoregressiveModel,
    strategy: tf.distribute.Strategy,
    say: Callable[[str], None] | None = None,
) -> Callable[..., float]:
    """Compiles the evaluation of a model.

    Args:
      model: an `AutoregressiveModel`, built in the strategy's scope.
      strategy: a `tf.distribute.Strategy`.
      say: function that takes a line of text: that it is being compiled.

    Returns:
      Function `(split, batch_size, between_batches=None) -> loss`, the mean loss an image (nats
      for a likelihood, a float), without dropout, every image of the split counted exactly once.
      `batch_size` is that of all replicas together; one above the number of images is taken as
      that. `between_batches()` is called after each batch, and may raise to end it.
    """

    def replica_loss(batch):
        images = levels_to_input(batch["images"], model.num_levels)
        labels = batch["labels"] if model.num_classes else None
        parameters = model(images, labels, seed=batch["seeds"])
        losses = model.likelihood.loss(images, parameters)
        return tf.reduce_sum(losses * batch["weights"])

    @tf.function(autograph=False)
    def batch_loss(batch):
        losses = strategy.run(replica_loss, args=(batch,))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def evaluate(split, batch_size, between_batches=None):
        if say is not None and not batch_loss.experimental_get_tracing_count():
            say("compiling the evaluation ...")
        replicas = strategy.num_replicas_in_sync
        batch_size = min(batch_size, -(-split.num_examples // replicas) * replicas)
        total = np.float64(0.0)
        for batch in strategy.experimental_distribute_dataset(split.in_order(batch_size)):
            total += batch_loss(batch).numpy()
            if between_batches is not None:
                between_batches()
        return float(total / split.num_examples)

    return evaluate
