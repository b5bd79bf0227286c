"""Callbacks for `model.fit`: initialisation, the averaged weights, pictures of samples."""

import os
import warnings
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_tf.checks import require_bool, require_integer
from pixelcnn_tf.grid import grid, to_uint8
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from pixelcnn_tf.models.base import AutoregressiveModel
from pixelcnn_tf.optimization.polyak import PolyakAverage
from pixelcnn_tf.random import Seed


def network_of(model: keras.Model) -> AutoregressiveModel:
    """The model of this library that `fit` trains: `model` itself, or its layer.

    Raises:
      ValueError: unless there is exactly one.
    """
    if isinstance(model, AutoregressiveModel):
        return model
    found = [layer for layer in model.layers if isinstance(layer, AutoregressiveModel)]
    if len(found) != 1:
        raise ValueError(f"model {model.name}: {len(found)} models of pixelcnn_tf in it, not 1")
    return found[0]


class DataDependentInit(keras.callbacks.Callback):
    """The data-dependent initialisation, once, before the first step of `fit`.

    Does nothing if the optimiser has made steps already, as in a model that was loaded. In float32
    whatever the policy, as the trainer does it.

    Args:
      images: a batch `[B, H, W, C]`, floats in [-1, 1] or integer levels.
      labels: of a conditional model, see `AutoregressiveModel.conditioning`.
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


class PolyakAveraging(keras.callbacks.Callback):
    """The official average of the weights during `fit`, see `PolyakAverage`.

    It begins with the weights before the first step of `fit`, with a warning if the optimiser has
    made steps before, unless `goes_on`. Evaluate, sample and save `averaged_model`.

    Args:
      averaged_model: a second model of the same configuration, whose weights become the average;
        under a strategy made in its scope.
      polyak_decay: weight of the past, 0 <= polyak_decay < 1.
      goes_on: `averaged_model` holds the average already, of an earlier `fit`.

    Raises:
      ValueError: in `fit`, if the model was compiled with several steps per execution, between
        which Keras calls nobody.
    """

    def __init__(
        self,
        averaged_model: AutoregressiveModel,
        polyak_decay: float = 0.9995,
        goes_on: bool = False,
    ):
        super().__init__()
        self.goes_on = require_bool("goes_on", goes_on)
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
        if self.average is None:  # after the initialisation, wherever it stands in the list
            with self.model.distribute_strategy.scope():
                model = network_of(self.model)
                self.average = PolyakAverage(model, self.averaged_model, self.polyak_decay)
                if not self.goes_on:
                    self._start()
            self.update = tf.function(self.average.update, autograph=False)

    def _start(self):
        steps = int(tf.convert_to_tensor(self.model.optimizer.iterations))
        if steps:
            warnings.warn(
                f"PolyakAveraging: the average begins with the weights after {steps:,} steps; "
                "goes_on=True continues that of averaged_model",
                stacklevel=2,
            )
        self.average.start()

    def on_train_batch_end(self, batch, logs=None):
        with self.model.distribute_strategy.scope():
            self.update()


class SampleGrid(keras.callbacks.Callback):
    """Samples the same seeds after every so many epochs: one picture of all, as PNG and for
    TensorBoard.

    Args:
      folder: where `samples_<epoch>.png` is written, made if it is missing; None for no files.
      log_dir: of TensorBoard's event files, image `samples`; None for none.
      num_samples: N.
      every: epochs between two pictures.
      seed: of the samples, see `pixelcnn_tf.sampling.sample`.
      labels: classes `[N]` of a conditional model.
      model: that is sampled, for example the averaged one; default: the one that is trained.
      **options: of `pixelcnn_tf.sampling.sample`, as `temperature`.

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
            raise ValueError("folder=None and log_dir=None: give at least one of them")
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
        """The picture that is written now, uint8 `[H', W', C]`."""
        model = self.sampled or network_of(self.model)
        images = model.sample(self.num_samples, self.seed, self.labels, **self.options)
        levels = input_to_levels(images, model.num_levels).numpy()
        return grid(to_uint8(levels, model.num_levels))
