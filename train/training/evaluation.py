"""The exact score over every image of a split."""

import numpy as np
import tensorflow as tf

from pixelcnn_tf.levels import levels_to_input


def make_evaluate(model, strategy):
    """Compiles the evaluation of a model.

    Args:
      model: an `AutoregressiveModel`, built in the strategy's scope.
      strategy: a `tf.distribute.Strategy`.

    Returns:
      Function `(split, batch_size) -> loss`, the mean loss an image (nats for a likelihood, a
      float), without dropout, every image of the split counted exactly once. `batch_size` is
      that of all replicas together.
    """

    def replica_loss(batch):
        images = levels_to_input(batch["images"], model.num_levels)
        labels = batch["labels"] if model.num_classes else None
        parameters = model(images, labels, seed=batch["seeds"])
        losses = model.likelihood.loss(images, parameters)
        return tf.reduce_sum(losses * batch["weights"])

    @tf.function
    def batch_loss(batch):
        losses = strategy.run(replica_loss, args=(batch,))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def evaluate(split, batch_size):
        batches = strategy.experimental_distribute_dataset(split.in_order(batch_size))
        total = np.float64(0.0)
        for batch in batches:
            total += batch_loss(batch).numpy()
        return float(total / split.num_examples)

    return evaluate
