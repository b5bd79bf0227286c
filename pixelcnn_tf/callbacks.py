"""Callbacks for `model.fit`: initialisation, averaged weights, images of samples."""

import os
import warnings
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_tf.checks import require_bool, require_integer
from pixelcnn_tf.grid import grid, to_uint8
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from pixelcnn_tf.models.image_model import AutoregressiveModel
from pixelcnn_tf.optimization.polyak import PolyakAverage
from pixelcnn_tf.random import Seed
from pixelcnn_tf.renamed import renamed


def network_of(model: keras.Model) -> AutoregressiveModel:
    """The model of this library that `fit` trains: `model` itself, or one of its layers.

    Raises:
      ValueError: unless there is exactly one.
    """
    if isinstance(model, AutoregressiveModel):
        return model
    found = [layer for layer in model.layers if isinstance(layer, AutoregressiveModel)]
    if len(found) != 1:
        raise ValueError(
            f"model {model.name}: must contain one model of pixelcnn_tf, got {len(found)}"
        )
    return found[0]


class DataDependentInit(keras.callbacks.Callback):
    """Runs the data-dependent initialisation once, before the first step of `fit`.

    It does nothing if the optimizer has already made steps, for example in a loaded model. It
    computes in float32 under any dtype policy, as the trainer does.

    Args:
      images: a batch `[B, H, W, C]`, floats in [-1, 1] or integer levels.
      labels: labels of a conditional model, see `ImageModel.conditioning`.
      seed: for dropout in that pass.
    """

    def __init__(self, images: tf.Tensor, labels: tf.Tensor | None = None, seed: Seed = 0):
        super().__init__()
        self.images = tf.convert_to_tensor(images)
        self.labels = labels
        self.seed = seed
        self.done = False

    def on_train_begin(self, logs=None):
        if self.done or int(tf.convert_to_tensor(self.model.optimizer.iterations)):
            return
        model = network_of(self.model)
        images = self.images
        if images.dtype.is_integer:
            images = levels_to_input(images, model.num_levels)
        plain = model
        if model.compute_dtype != model.variable_dtype:
            plain = type(model).from_config(model.get_config() | {"dtype": model.variable_dtype})
            plain.set_weights(model.get_weights())
        plain.initialize(images, self.labels, seed=self.seed)
        if plain is not model:
            model.set_weights(plain.get_weights())
        self.done = True


@renamed({"goes_on": "resume"})
class PolyakAveraging(keras.callbacks.Callback):
    """Averages the weights during `fit`, see `PolyakAverage`.

    Without `resume` the average starts from the weights before the first step of `fit`, with a
    warning if the optimizer has already made steps. Evaluate, sample and save `averaged_model`.

    Args:
      averaged_model: a second model of the same configuration, whose weights become the average;
        create it in the strategy's scope.
      polyak_decay: decay of the average, 0 <= polyak_decay < 1.
      resume: continue the average that `averaged_model` holds from an earlier `fit`.
      warmup: smaller decay in the first updates; False: the official constant decay.

    Raises:
      ValueError: in `fit`, if the model was compiled with `steps_per_execution` above 1: Keras
        calls no callbacks between these steps.
    """

    def __init__(
        self,
        averaged_model: AutoregressiveModel,
        polyak_decay: float = 0.9995,
        resume: bool = False,
        warmup: bool = True,
    ):
        super().__init__()
        self.resume = require_bool("resume", resume)
        self.warmup = require_bool("warmup", warmup)
        self.averaged_model = averaged_model
        self.polyak_decay = polyak_decay
        self.average = None
        self.update = None

    def on_train_begin(self, logs=None):
        if self.model.steps_per_execution != 1:
            raise ValueError(
                f"steps_per_execution={self.model.steps_per_execution}: PolyakAveraging needs 1"
            )

    def on_train_batch_begin(self, batch, logs=None):
        if self.average is None:  # after the initialisation, whatever the order of the callbacks
            with self.model.distribute_strategy.scope():
                model = network_of(self.model)
                self.average = PolyakAverage(
                    model, self.averaged_model, self.polyak_decay, self.warmup
                )
                if self.resume:  # the warm-up continues at the optimizer's step
                    self.average.updates.assign(tf.cast(self.model.optimizer.iterations, tf.int64))
                else:
                    self._start()
            self.update = tf.function(self.average.update, autograph=False)

    def _start(self):
        steps = int(tf.convert_to_tensor(self.model.optimizer.iterations))
        if steps:
            warnings.warn(
                f"PolyakAveraging: the average starts from the weights after {steps:,} steps; "
                "resume=True continues the average in averaged_model",
                stacklevel=2,
            )
        self.average.start()

    def on_train_batch_end(self, batch, logs=None):
        with self.model.distribute_strategy.scope():
            self.update()


class SampleGrid(keras.callbacks.Callback):
    """Samples with the same seed at regular epochs and writes a grid as PNG and for TensorBoard.

    Args:
      folder: folder for `samples_<epoch>.png`, created if missing; None writes no files.
      log_dir: folder for TensorBoard's event files (image `samples`); None writes none.
      num_samples: N.
      every: epochs between two grids.
      seed: seed of the samples, see `pixelcnn_tf.sampling.sample`.
      labels: classes `[N]` of a conditional model.
      model: the model to sample, such as the averaged one; default: the trained model.
      **options: options of `pixelcnn_tf.sampling.sample`, such as `temperature`.

    Raises:
      ValueError: if neither `folder` nor `log_dir` is given, or for a number out of range.
    """

    def __init__(
        self,
        folder: str | os.PathLike | None = None,
        log_dir: str | os.PathLike | None = None,
        num_samples: int = 16,
        every: int = 1,
        seed: Seed = 0,
        labels: Sequence[int] | np.ndarray | tf.Tensor | None = None,
        model: AutoregressiveModel | None = None,
        **options,
    ):
        super().__init__()
        if folder is None and log_dir is None:
            raise ValueError("folder=None, log_dir=None: at least one of them is needed")
        self.folder = folder
        self.num_samples = require_integer("num_samples", num_samples, 1)
        self.every = require_integer("every", every, 1)
        self.seed = seed
        self.labels = labels
        self.sampled = model
        self.options = options
        self.log_dir = log_dir
        self.writer = None

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        picture = self.picture()
        if self.folder is not None:
            os.makedirs(self.folder, exist_ok=True)
            path = os.path.join(self.folder, f"samples_{epoch + 1:04d}.png")
            tf.io.write_file(path, tf.io.encode_png(picture))
        if self.log_dir is not None:
            if self.writer is None:
                self.writer = tf.summary.create_file_writer(str(self.log_dir))
            with self.writer.as_default():
                tf.summary.image("samples", picture[None], step=epoch + 1)
            self.writer.flush()

    def picture(self) -> np.ndarray:
        """Samples and returns the grid, uint8 `[H', W', C]`."""
        model = self.sampled or network_of(self.model)
        images = model.sample(self.num_samples, self.seed, self.labels, **self.options)
        levels = input_to_levels(images, model.num_levels).numpy()
        return grid(to_uint8(levels, model.num_levels))
