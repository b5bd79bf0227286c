"""The state of a training run and its step."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from pixelcnn_tf import Muon, OfficialAdam, PolyakAverage
from pixelcnn_tf.levels import levels_to_input
from pixelcnn_tf.models.image_model import ImageModel
from pixelcnn_tf.optimization.loss_scale import LossScale
from train.config.config import Config
from train.data.dataset import Dataset
from train.devices import Workers
from train.errors import UserError
from train.run import Run
from train.run.checkpoints import Checkpoints


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Within it, Keras layers are made with this policy ("mixed_bfloat16")."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def make_optimizer(config: Config) -> OfficialAdam:
    """The optimizer that a configuration describes, not built."""
    if config.optimizer == "muon":
        return Muon(config.learning_rate, config.muon_learning_rate, lr_decay=config.lr_decay)
    return OfficialAdam(config.learning_rate, lr_decay=config.lr_decay)


class Trainer:
    """Model, average, optimiser and step of a run, under a `tf.distribute` strategy.

    The model computes in `config.dtype`; the averaged one, which is evaluated and sampled from,
    in float32 always, so that its scores are those of `train.evaluate`.

    Args:
      run: a `Run` of `Run.create`.
      dataset: its `Dataset`.
      strategy: see `train.devices.make_strategy`.
      workers: the run's `Workers`; default: those of the strategy.

    Raises:
      UserError: if configuration, data and strategy do not match.
    """

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        strategy: tf.distribute.Strategy,
        workers: Workers | None = None,
    ):
        self.run = run
        self.config = config = run.config
        self.dataset = dataset
        self.strategy = strategy
        self.workers = workers or Workers(strategy)
        self.global_batch_size = config.batch_size * strategy.num_replicas_in_sync
        if config.jit_compile and strategy.num_replicas_in_sync > 1:
            raise UserError(
                f"--jit_compile: only with one replica, here are {strategy.num_replicas_in_sync}"
            )
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            encoder = run.encoder()
            with dtype_policy(config.dtype):
                self.model = run.new_model(dataset, encoder)
            self.model.remat = config.remat
            self.averaged_model = run.new_model(dataset, encoder)
            self.optimizer = make_optimizer(config)
            self.optimizer.build(self.model.trainable_variables)
            self.average = PolyakAverage(
                self.model, self.averaged_model, config.polyak_decay, config.polyak_warmup
            )
            self.loss_scale = LossScale() if config.dtype == "mixed_float16" else None
        # The losses since the last row of the log: their sum and number.
        self.window = tf.Variable([0.0, 0.0], dtype=tf.float64, trainable=False)
        extras = {"window": [self.window]}
        if self.loss_scale is not None:
            extras["loss_scale"] = self.loss_scale.variables
        self.checkpoints = Checkpoints(
            run.folder, self.model, self.averaged_model, self.optimizer, extras
        )
        self.loop_function = tf.function(self._loop)
        self.finite_function = tf.function(self._weights_are_finite, autograph=False)
        # Of one replica XLA can take all of it, with the updates: a GPU is handed one program a
        # step, not thousands of operations.
        self.step = self._step
        if config.jit_compile:
            self.step = tf.function(self._step, autograph=False, jit_compile=True)

    def initialize(self) -> None:
        """The model's own initialisation on one batch, and the start of the average.

        It runs in float32, on the averaged model: copied there and back."""
        batch = self.dataset.train.first_shuffled(self.config.init_batch_size, self.config.seed)
        images = levels_to_input(batch["images"], self.model.num_levels)
        self.average.start()
        self.averaged_model.initialize(images, self._labels(batch), seed=self.config.seed)
        averaged = self.averaged_model
        self.workers.broadcast([*averaged.trainable_variables, *averaged.non_gradient_variables])
        for shadow, variable in self.average.pairs:
            variable.assign(shadow)

    def start_from(self, source: ImageModel) -> None:
        """Takes over the weights of a model, for the average too.

        Raises:
          ValueError: if its weights have other shapes, naming one.
        """
        averaged = self.averaged_model
        here = [*averaged.trainable_variables, *averaged.non_gradient_variables]
        there = [*source.trainable_variables, *source.non_gradient_variables]
        for mine, other in zip(here, there, strict=False):
            if mine.shape != other.shape:
                raise ValueError(
                    f"{other.path} is {list(other.shape)} there, {list(mine.shape)} here"
                )
        if len(here) != len(there):
            raise ValueError(f"it has {len(there)} variables, the model here {len(here)}")
        for mine, other in zip(here, there, strict=True):
            mine.assign(other.numpy())
        for shadow, variable in self.average.pairs:
            variable.assign(shadow)

    def restore(self) -> int | None:
        """Restores the newest readable checkpoint; returns its step, or None.

        Of several processes the chief chooses, and all read the same.

        Raises:
          UserError: if there are checkpoints, but none can be read.
        """
        step = None
        if self.workers.is_chief:
            step = self.checkpoints.restore_latest()
        chosen = self.workers.broadcast_from_chief(0 if step is None else step + 1) - 1
        if chosen < 0:
            return None
        if not self.workers.is_chief:
            try:
                self.checkpoints.restore(chosen)
            except Exception as error:  # as in `restore_latest`
                raise UserError(
                    f"checkpoint {self.checkpoints.prefix(chosen)}, which the chief has read, "
                    f"cannot be read here ({error}); --workdir must be shared by all workers"
                ) from None
        return chosen

    def save(self, step: int) -> None:
        """Writes the checkpoint of `step`; the chief does it for all.

        Raises:
          UserError: if it cannot be written.
        """
        if self.workers.is_chief:
            self.checkpoints.save(step)

    def train_steps(self, batches, count: int) -> tf.Tensor:
        """Updates on the next batches, in one call of the compiled function.

        Args:
          batches: iterator over the distributed batches.
          count: number of updates.

        Returns:
          The loss of each, summed over the global batch (nats), float32 `[count]`.
        """
        return self.loop_function(batches, tf.constant(count))

    def is_compiled(self) -> bool:
        """Whether `train_steps` is; else its first call takes long."""
        return self.loop_function.experimental_get_tracing_count() > 0

    def weights_are_finite(self) -> bool:
        """Whether every weight is finite (what the last update did shows in no loss yet)."""
        return bool(self.finite_function())

    def _weights_are_finite(self):
        variables = [*self.model.trainable_variables, *self.model.non_gradient_variables]
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in variables])

    def learning_rate(self, step: int) -> float:
        """The learning rate that step `step` = 1, 2, ... used."""
        return float(self.optimizer.decayed_learning_rate(step))

    def score(self, mean_loss: float) -> float:
        """The reported score (bits/dim) of a mean loss an image."""
        return float(self.model.likelihood.score(mean_loss, self.model.image_shape))

    def _labels(self, batch):
        return batch["labels"] if self.model.num_classes else None

    def _loop(self, batches, count):
        losses = tf.TensorArray(tf.float32, size=count)
        for number in tf.range(count):
            losses = losses.write(number, self.step(next(batches)))
        return losses.stack()

    @tf.autograph.experimental.do_not_convert  # of the loop alone there is something to convert
    def _step(self, batch):
        sums = tf.distribute.ReduceOp.SUM
        if self.loss_scale is None:
            losses = self.strategy.run(self._replica_step, args=(batch,))
        else:
            # The update is left out, on every replica, if a gradient of any is not finite.
            losses, changes, bad = self.strategy.run(self._scaled_gradients, args=(batch,))
            finite = self.strategy.reduce(sums, bad, axis=None) == 0.0
            tf.cond(
                finite,
                lambda: self.strategy.run(self._apply, args=(changes,)),
                lambda: None,
            )
            with self.strategy.scope():
                self.loss_scale.update(finite)
        with self.strategy.scope():
            # `iterations` counts the update that was just made.
            self.average.update(tf.convert_to_tensor(self.optimizer.iterations) - 1)
        return self.strategy.reduce(sums, losses, axis=None)

    def _replica_step(self, batch):
        loss, changes = self.gradients(batch, 1.0)
        self._apply(changes)
        return loss

    def _scaled_gradients(self, batch):
        scale = tf.convert_to_tensor(self.loss_scale.scale)
        loss, (gradients, statistics) = self.gradients(batch, scale)
        gradients = [gradient / scale for gradient in gradients]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        return loss, (gradients, statistics), tf.cast(~finite, tf.float32)

    def _apply(self, changes):
        gradients, statistics = changes
        self.optimizer.apply(gradients, self.model.trainable_variables)
        if statistics:
            context = tf.distribute.get_replica_context()
            self.model.update_ema(context.all_reduce(tf.distribute.ReduceOp.SUM, statistics))

    def gradients(self, batch: dict, scale: tf.Tensor | float) -> tuple:
        """A replica's loss, summed over its batch (nats), with what the step changes: the gradients
        of `scale` times the loss, one a trainable variable, and the model's statistics."""
        images = levels_to_input(batch["images"], self.model.num_levels)
        with tf.GradientTape() as tape:
            parameters = self.model(images, self._labels(batch), training=True, seed=batch["seeds"])
            # The official loss: a sum over the batch, which Adam's epsilon refers to.
            loss = tf.reduce_sum(self.model.likelihood.loss(images, parameters))
            scaled = loss * scale
        gradients = tape.gradient(scaled, self.model.trainable_variables)
        return loss, (gradients, self.model.ema_statistics(parameters, batch["seeds"]))
