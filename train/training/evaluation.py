"""The exact score over every image of a split."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn_tf.levels import levels_to_input
from pixelcnn_tf.models.image_model import ImageModel

SQUARES = "squared_loss"  # the measure from which the standard error is computed


class Evaluation(NamedTuple):
    """Of every image of a split.

    Attributes:
      loss: the mean loss an image (nats for a likelihood).
      scores: by name, floats; has the likelihood's `metric`.
      standard_error: of `scores[metric]` over the images; None for one image.
    """

    loss: float
    scores: dict
    standard_error: float | None = None


def others(scores: dict, metric: str) -> str:
    """The scores besides `metric`, as ", name value" each; mostly ""."""
    return "".join(f", {name} {x:.4g}" for name, x in scores.items() if name != metric)


def make_evaluate(
    model: ImageModel,
    strategy: tf.distribute.Strategy,
    say: Callable[[str], None] | None = None,
) -> Callable[..., Evaluation]:
    """Compiles the evaluation of a model.

    Args:
      model: an `ImageModel`, built in the strategy's scope.
      strategy: a `tf.distribute.Strategy`.
      say: function that takes a line of text: that it is being compiled.

    Returns:
      Function `(split, batch_size, between_batches=None) -> Evaluation`, without dropout, every
      image of the split counted exactly once.
      `batch_size` is that of all replicas together; one above the number of images is taken as
      that. `between_batches()` is called after each batch, and may raise to end it.
    """

    def replica_sums(batch):
        images = levels_to_input(batch["images"], model.num_levels)
        labels = batch["labels"] if model.num_classes else None
        parameters = model(images, labels, seed=batch["seeds"])
        measures = model.likelihood.measures(images, parameters)
        measures[SQUARES] = tf.square(tf.cast(measures["loss"], tf.float64))

        def weighted(measure):  # [B, ...]
            shape = [-1] + [1] * (measure.shape.rank - 1)
            weights = tf.cast(tf.reshape(batch["weights"], shape), measure.dtype)
            return tf.reduce_sum(measure * weights, axis=0)

        return {name: weighted(measure) for name, measure in measures.items()}

    @tf.function(autograph=False)
    def batch_sums(batch):
        sums = strategy.run(replica_sums, args=(batch,))
        add = tf.distribute.ReduceOp.SUM
        return {name: strategy.reduce(add, value, axis=None) for name, value in sums.items()}

    def evaluate(split, batch_size, between_batches=None):
        if say is not None and not batch_sums.experimental_get_tracing_count():
            say("compiling the evaluation ...")
        replicas = strategy.num_replicas_in_sync
        batch_size = min(batch_size, -(-split.num_examples // replicas) * replicas)
        totals = {}
        for batch in strategy.experimental_distribute_dataset(split.in_order(batch_size)):
            for name, value in batch_sums(batch).items():
                totals[name] = totals.get(name, np.float64(0.0)) + value.numpy()
            if between_batches is not None:
                between_batches()
        count = split.num_examples
        means = {name: total / count for name, total in totals.items()}
        squares = means.pop(SQUARES)
        scores = model.likelihood.scores(means, model.image_shape)
        error = None
        if count > 1 and len(scores) == 1:  # the score is the mean loss in other units
            variance = max(float(squares - means["loss"] ** 2), 0.0) * count / (count - 1)
            error = float(model.likelihood.score((variance / count) ** 0.5, model.image_shape))
        return Evaluation(float(means["loss"]), scores, error)

    return evaluate
