"""The state of a training run and its step."""

import keras
import tensorflow as tf

from pixelcnn_tf import OfficialAdam, PolyakAverage
from pixelcnn_tf.levels import levels_to_input
from train import models
from train.checkpoints import Checkpoints
from train.errors import UserError


def make_model(config, dataset):
    """Builds the model that a `Config` describes for a `Dataset` (or the `DataDescription` of
    one), untrained.

    Raises:
      UserError: if the two do not fit.
    """
    if config.class_conditional and dataset.num_classes is None:
        raise UserError(f"--class_conditional: --dataset={config.dataset} has no labels")
    try:
        return models.build(config, dataset)
    except ValueError as error:
        raise UserError(f"--dataset={config.dataset} --model={config.model}: {error}") from None


class Trainer:
    """Model, average, optimiser and step of a run, under a `tf.distribute` strategy.

    Args:
      config: the run's `Config`.
      dataset: its `Dataset`.
      strategy: see `train.strategy.make_strategy`.
    """

    def __init__(self, config, dataset, strategy):
        self.config = config
        self.dataset = dataset
        self.strategy = strategy
        self.global_batch_size = config.batch_size * strategy.num_replicas_in_sync
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            self.model = make_model(config, dataset)
            self.averaged_model = make_model(config, dataset)
            self.optimizer = OfficialAdam(config.learning_rate, lr_decay=config.lr_decay)
            self.optimizer.build(self.model.trainable_variables)
            self.average = PolyakAverage(self.model, self.averaged_model, config.polyak_decay)
        self.checkpoints = Checkpoints(
            config.workdir, self.model, self.averaged_model, self.optimizer
        )
        self.step_function = tf.function(self._step)
        self.finite_function = tf.function(self._parameters_are_finite)

    def initialize(self):
        """The model's own initialisation on one batch, and the start of the average."""
        batch = self.dataset.train.first_shuffled(self.config.init_batch_size, self.config.seed)
        images = levels_to_input(batch["images"], self.model.num_levels)
        self.model.initialize(images, self._labels(batch), seed=self.config.seed)
        self.average.start()

    def restore(self):
        """Restores the newest readable checkpoint; returns its step, or None."""
        return self.checkpoints.restore_latest()

    def train_step(self, batch):
        """One update. Returns the loss summed over the global batch (nats), a scalar tensor."""
        return self.step_function(batch)

    def parameters_are_finite(self):
        """Whether every parameter is finite (what the last update did shows in no loss yet)."""
        return bool(self.finite_function())

    def _parameters_are_finite(self):
        variables = self.model.trainable_variables
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in variables])

    def learning_rate(self, step):
        """The learning rate that step `step` = 1, 2, ... used."""
        return float(self.optimizer.decayed_learning_rate(step))

    def score(self, mean_loss):
        """The reported score (bits/dim) of a mean loss an image."""
        return float(self.model.likelihood.score(mean_loss, self.model.image_shape))

    def _labels(self, batch):
        return batch["labels"] if self.model.num_classes else None

    def _step(self, batch):
        losses = self.strategy.run(self._replica_step, args=(batch,))
        with self.strategy.scope():
            self.average.update()
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _replica_step(self, batch):
        images = levels_to_input(batch["images"], self.model.num_levels)
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            parameters = self.model(images, self._labels(batch), training=True, seed=batch["seeds"])
            # The official loss: a sum over the batch, which Adam's epsilon refers to.
            loss = tf.reduce_sum(self.model.likelihood.loss(images, parameters))
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return loss
