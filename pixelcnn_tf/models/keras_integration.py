"""Keras integration of the models: inputs as one argument, compile, fit, save, export."""

import os
import types
import warnings
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_tf.input_range import range_warning
from pixelcnn_tf.likelihoods.base import Objective
from pixelcnn_tf.losses import NO_TARGETS, check_loss_matches, loss_of
from pixelcnn_tf.metrics import BitsPerDim

INPUTS = ("images", "labels", "seed")  # names in a dictionary of inputs
CHECKED_CALLS = 10  # eager calls whose images are checked


def split_inputs(images, labels, options):
    """Splits the inputs of a model into images, labels and further options.

    Keras' `fit`, `evaluate` and `predict` pass all inputs as one argument: images, a pair (images,
    labels), or a dictionary of `images`, `labels` and `seed`.

    Raises:
      ValueError: for a dictionary without images or with unknown names.
    """
    if isinstance(images, Mapping):
        if "images" not in images or not set(images) <= set(INPUTS):
            raise ValueError(
                f"inputs named {', '.join(images)}: must be images and optionally labels, seed"
            )
        options = {"seed": images["seed"]} | options if "seed" in images else options
        return images["images"], images.get("labels", labels), options
    if isinstance(images, (tuple, list)) and len(images) in (1, 2):
        if len(getattr(images[0], "shape", ())) == 4:
            return images[0], images[1] if len(images) == 2 else labels, options
    return images, labels, options


class KerasIntegration:
    """The part of `ImageModel` that adapts Keras' methods."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # Keras would cast the images to the compute dtype before `call`, which reads codes and
        # conditions from them. The models cast the network's input themselves.
        self.autocast = False
        self.jit_compile = False  # else Keras uses XLA on a GPU for models that are not compiled
        # A namespace, which Keras does not track.
        self.range_check = types.SimpleNamespace(calls=0, warned=False)

    def __call__(self, images, labels=None, training=None, **options):
        images, labels, options = split_inputs(images, labels, options)
        # Keras accepts only tensors as positional arguments; labels may be a list or an array.
        if labels is not None and not keras.backend.is_keras_tensor(labels):
            labels = tf.convert_to_tensor(labels)
        if self.range_check.calls < CHECKED_CALLS and tf.executing_eagerly():
            self.range_check.calls += 1
            self.warn_if_unnormalized(images)
        if training is not None:  # else Keras decides: an outer model may be in training
            options["training"] = training
        return super().__call__(images, labels, **options)

    def warn_if_unnormalized(self, images):
        """Warns, once per model, if images seem to lie in [0, 1] or [0, 255] instead of [-1, 1].
        Checks only arrays and eager tensors `[B, H, W, C]`."""
        known = isinstance(images, (np.ndarray, tf.Tensor)) and len(images.shape) == 4
        known = known and not tf.is_symbolic_tensor(images)
        if self.range_check.warned or not known or not tf.as_dtype(images.dtype).is_floating:
            return
        text = range_warning(images, self.num_levels)
        if text:
            self.range_check.warned = True
            warnings.warn(text, stacklevel=3)

    def compile(self, optimizer="rmsprop", loss=None, *args, jit_compile="auto", **kwargs):
        """Keras' own, with two changes: `jit_compile="auto"` is False, since XLA takes minutes to
        compile the network and fails with several replicas; and `model.likelihood.loss`, a method,
        which Keras cannot save, becomes the registered loss with the mean over images.

        Raises:
          ValueError: for a loss or metric of this library that is for another likelihood, or
            another number of levels, than the model's.
        """
        if isinstance(getattr(loss, "__self__", None), Objective):
            loss = loss_of(loss.__self__, reduction="sum_over_batch_size")
        others = [args, kwargs.get("metrics"), kwargs.get("weighted_metrics")]
        for each in tf.nest.flatten([loss, others]):
            check_loss_matches(self.likelihood, each.loss if isinstance(each, BitsPerDim) else each)
        jit_compile = False if jit_compile == "auto" else jit_compile
        super().compile(optimizer, loss, *args, jit_compile=jit_compile, **kwargs)

    def compile_from_config(self, config):
        # Keras' own does nothing if `compile` is overridden.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def train_step(self, data):
        """Keras' own; the first step also checks the range of the images."""
        if self.optimizer is not None and not self.jit_compile and not self.range_check.warned:
            x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
            images, _, _ = split_inputs(x, None, {})
            first = tf.equal(tf.convert_to_tensor(self.optimizer.iterations), 0)
            tf.cond(first, lambda: self._check_range_in_graph(images), lambda: tf.constant(0))
        return super().train_step(data)

    def _check_range_in_graph(self, images):
        def check(images):
            self.warn_if_unnormalized(images)
            return np.int32(0)

        return tf.numpy_function(check, [images[:64]], tf.int32)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Under a strategy Keras averages the replicas' inputs to get an example of them, which
        # turns labels into floats. The inputs of one replica serve as well.
        strategy = self.distribute_strategy
        if iterator is not None and strategy.num_replicas_in_sync > 1:
            for _, _, batches in iterator:
                data_batch = tf.nest.map_structure(
                    lambda value: strategy.experimental_local_results(value)[0], next(batches)
                )
                break
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' own.

        Raises:
          ValueError: if targets are missing.
        """
        if y is None and self.loss is not None:
            raise ValueError(NO_TARGETS)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def evaluate(self, x=None, *args, **kwargs):
        self.warn_if_unnormalized(split_inputs(x, None, {})[0])
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        self.warn_if_unnormalized(split_inputs(x, None, {})[0])
        return super().predict(x, *args, **kwargs)

    def save(self, filepath: str | os.PathLike, *args, **kwargs) -> None:
        """Keras' own, to a `.keras` file.

        Raises:
          ValueError: for the older HDF5 format, which could not be loaded again.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(f"filepath={str(filepath)!r}: must end in .keras")
        if self.compiled and not self.optimizer.built:  # else loading the file warns
            self.optimizer.build(self.trainable_variables)
        super().save(filepath, *args, **kwargs)

    def export(self, filepath: str | os.PathLike, *args, input_signature=None, **kwargs) -> None:
        """Keras' own: a SavedModel that returns the parameters of every pixel's distribution. For
        one that scores and samples images see `pixelcnn_tf.export.export_saved_model`.

        Args:
          filepath: folder to write.
          input_signature: Keras' own; default: images of any batch size, and labels.
        """
        if input_signature is None:
            input_signature = self.input_signature()
        super().export(filepath, *args, input_signature=input_signature, **kwargs)

    def input_signature(self) -> list:
        """The model's inputs as `keras.InputSpec`s: images, and the condition if it has one. In
        mixed precision they are float32, since half precision does not represent all levels."""
        signature = [keras.InputSpec(shape=(None, *self.image_shape), dtype=self.variable_dtype)]
        place = self.image_shape[:2] if self.spatial_channels is not None else ()
        if place or self.condition is not None:
            shape = (None, *place, self.num_conditions)
            signature.append(keras.InputSpec(shape=shape, dtype=self.variable_dtype))
        elif self.num_classes is not None:
            signature.append(keras.InputSpec(shape=(None,), dtype="int32"))
        return signature

    def _export_to_saved_model_graph(self, *args, **kwargs):
        # TensorFlow calls this for each object that it writes into a SavedModel, where a Keras
        # model could be neither called nor served. (Keras' own export writes only functions and
        # variables.)
        raise ValueError(
            f"tf.saved_model.save cannot save a {type(self).__name__}: use model.export, "
            "pixelcnn_tf.export.export_saved_model, or model.save('model.keras')"
        )
