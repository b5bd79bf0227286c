"""What every model offers to the trainer, whatever it makes of images."""

import types
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.checks import require_image_shape, require_integer
from pixelcnn_tf.conditions import Embedding, MapCondition, make_condition
from pixelcnn_tf.levels import refuse_other_range, require_values
from pixelcnn_tf.models.keras_ways import KerasWays
from pixelcnn_tf.random import Seed, noise_seeds


class ImageModel(KerasWays, keras.Model):
    """A network that maps images to what its `likelihood` turns into a loss and into scores.

    Args:
      image_shape: `(H, W, C)`.
      num_classes: number of classes of a class-conditional model, or None.
      num_levels: number of levels per channel, see `pixelcnn_tf.levels`.

    Attributes:
      likelihood: a `pixelcnn_tf.likelihoods.base.Likelihood`, set by the subclass.
      spatial_channels: channels D of a map `[B, H, W, D]` that it is conditioned on, or None.
      condition: the `MapCondition` or `Embedding` (see `pixelcnn_tf.conditions`) that images are
        given, or None.
      encoder: the Keras model of an `Embedding`, or None.
      remat: True saves memory in training at the price of time (gradient checkpointing), where
        the model offers it.
    """

    remat = False
    spatial_channels = None
    condition = None
    encoder = None

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int | None = None,
        num_levels: int = 256,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.image_shape = require_image_shape(image_shape)
        if num_classes is not None:
            num_classes = require_integer("num_classes", num_classes, 1, ", or None")
        self.num_classes = num_classes
        self.num_levels = num_levels
        # Namespaces, which Keras leaves alone.
        self.sampling_functions = types.SimpleNamespace()  # of pixelcnn_tf.sampling.compiled
        self.sizes = types.SimpleNamespace(models={self.image_shape[:2]: self})

    def initialize(
        self, images: tf.Tensor, labels: tf.Tensor | None = None, seed: Seed = 0
    ) -> None:
        """What the model does once, on a first batch, before it is trained: nothing, unless a
        subclass says otherwise. Call it outside `strategy.run`.

        Args:
          images: `[B, H, W, C]`, floats in [-1, 1].
          labels: as for `conditioning`.
          seed: int, for whatever is random in it.
        """

    def statistics(self, outputs: tf.Tensor, seeds: tf.Tensor) -> dict:
        """What a batch teaches the model besides gradients: a dict of tensors, sums over images.
        Empty, unless a subclass says otherwise. Those of all replicas are to be added and given
        to `learn`.

        Args:
          outputs: of the model in training, for the batch or a replica's share of it.
          seeds: int32 `[B, 3]`, see `pixelcnn_tf.random.batch_places`.
        """
        return {}

    def learn(self, statistics: dict) -> None:
        """Updates what is not trained by gradients, by the `statistics` of a global batch."""

    @property
    def state(self) -> list:
        """The weights that change by `learn` or `initialize` and not by gradients; of most models
        none. Those of an `encoder` never change."""
        fixed = {id(v) for v in self.encoder.variables} if self.encoder is not None else ()
        return [
            v
            for v in self.non_trainable_variables
            if tf.as_dtype(v.dtype).is_floating and id(v) not in fixed
        ]

    @property
    def num_conditions(self) -> int | None:
        """Length of the vector that images are conditioned on, or channels of the map; None of an
        unconditional model."""
        if self.spatial_channels is not None:
            return self.spatial_channels
        return self.num_classes if self.condition is None else self.condition.channels

    def at_size(self, height: int, width: int) -> "ImageModel":
        """This model for images of another size: the same layers and variables, whose weights
        know no size. What trains one trains the other.

        Args:
          height, width: at least 1.

        Returns:
          A model of the same class with the `image_shape` `(height, width, C)`, made once for each
          size. `self`, if it has that size.

        Raises:
          ValueError: for a size that is none.
        """
        size = require_integer("height", height, 1), require_integer("width", width, 1)
        models = self.sizes.models
        if size not in models:
            other = object.__new__(type(self))
            # Not by setattr, with which Keras would track everything a second time.
            vars(other).update(vars(self))
            vars(other).update(
                image_shape=(*size, self.image_shape[-1]),
                sampling_functions=types.SimpleNamespace(),
                # What Keras has compiled belongs to the other size.
                train_function=None,
                test_function=None,
                predict_function=None,
            )
            models[size] = other
        return models[size]

    def check_images(self, images: tf.Tensor) -> tf.Tensor:
        """Returns `images` as a tensor of the dtype that they have.

        Raises:
          ValueError: unless they are floats `[B, H, W, C]` of this model's `image_shape`, B at
            least 1.
        """
        images = require_values(images)
        if images.shape.rank != 4 or tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"images of shape {images.shape}: this model takes [B, "
                f"{', '.join(map(str, self.image_shape))}]"
            )
        if images.shape[0] == 0:
            raise ValueError("images: none given, at least 1 needed")
        return images

    def set_condition(
        self, condition: str | keras.Model | Mapping | None, spatial_channels: int | None
    ) -> None:
        """Makes the model one of images given a condition, see `make_condition`, or given any map
        of so many channels.

        Raises:
          ValueError: for an unknown condition, one that does not fit the images, or also classes.
        """
        other = f"spatial_channels={spatial_channels}"
        if condition is not None:
            self.condition = make_condition(condition, self.image_shape, self.num_levels)
            other = f"condition={self.condition.name!r}"
            if spatial_channels not in (None, self.condition.channels):
                raise ValueError(
                    f"spatial_channels={spatial_channels!r}: {other} has "
                    f"{self.condition.channels}; leave it out"
                )
            if isinstance(self.condition, Embedding):
                self.encoder = self.condition.encoder  # so that Keras saves its weights
            else:
                spatial_channels = self.condition.channels
        if condition is None and spatial_channels is None:
            return
        if spatial_channels is not None:
            require_integer("spatial_channels", spatial_channels, 1, ", or None")
        if self.num_classes is not None:
            raise ValueError(
                f"num_classes={self.num_classes} and {other}: images are conditioned on one thing, "
                "give one of them"
            )
        self.spatial_channels = spatial_channels

    def own_condition(self, images: tf.Tensor) -> tf.Tensor | None:
        """The images' own condition as the model takes it, a map `[B, H, W, D]` or vectors
        `[B, D]`; None of a model without one.

        Args:
          images: `[B, H, W, C]`, values of levels in [-1, 1].

        Raises:
          ValueError: if they do not fit the model.
        """
        if self.condition is None:
            return None
        images = self.check_images(images)
        return self.condition.to_h(self.condition.of(images), self.image_shape)

    def conditioning(self, labels: tf.Tensor | None, num: int | None = None) -> tf.Tensor | None:
        """The conditioning vector h `[B, num_classes]` of labels, or None.

        Args:
          labels: integer classes `[B]`, 0 ... num_classes - 1, or already vectors
            `[B, num_classes]` (floats); None for an unconditional model. With
            `spatial_channels`, maps `[B, H, W, spatial_channels]`, floats; with an `encoder`,
            vectors `[B, D]` as it gives them.
          num: how many images they belong to, if that is known.

        Raises:
          ValueError: if labels are given to an unconditional model or missing for a
            conditional one, if their shape is wrong, if maps or vectors are integers, or (when
            executing eagerly) if a label, or a map of the model's own `condition`, is out of range.
          InvalidArgumentError: inside a `tf.function`, when it runs, if a label is out of range.
        """
        if self.spatial_channels is not None:
            expected = [*self.image_shape[:2], self.spatial_channels]
            return self._given("maps", expected, labels, num)
        if self.condition is not None:
            return self._given("vectors", [self.condition.channels], labels, num)
        if self.num_classes is None:
            if labels is not None:
                raise ValueError("labels given, but the model was built with num_classes=None")
            return None
        if labels is None:
            raise ValueError(f"labels missing: the model has num_classes={self.num_classes}")
        labels = tf.convert_to_tensor(labels)
        self._check_number(labels, num)
        if labels.dtype.is_floating:
            if labels.shape.rank != 2 or labels.shape[1] != self.num_classes:
                raise ValueError(
                    f"labels of shape {labels.shape}: vectors must be [B, {self.num_classes}]"
                )
            return tf.cast(labels, self.compute_dtype)
        if labels.shape.rank != 1:
            raise ValueError(f"labels of shape {labels.shape}: integer classes must be [B]")
        labels = tf.cast(labels, tf.int64)  # small integers cannot hold every num_classes
        right = (labels >= 0) & (labels < self.num_classes)
        if tf.executing_eagerly():
            wrong = tf.boolean_mask(labels, ~right)
            if len(wrong):
                raise ValueError(
                    f"labels: {wrong[0].numpy()} is not in 0 ... {self.num_classes - 1}"
                )
        else:
            message = f"labels: must lie in 0 ... {self.num_classes - 1}"
            with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(right), [message])]):
                labels = tf.identity(labels)
        return tf.one_hot(labels, self.num_classes, dtype=self.compute_dtype)

    def _given(self, what, expected, labels, num):
        """`labels` as floats `[B, *expected]`, or ValueError."""
        shape = None if labels is None else tf.convert_to_tensor(labels).shape
        if labels is None or shape.rank != len(expected) + 1 or list(shape[1:]) != expected:
            raise ValueError(
                f"labels of shape {shape}: the model is conditioned on {what} [B, "
                f"{', '.join(map(str, expected))}]"
            )
        labels = tf.convert_to_tensor(labels)
        self._check_number(labels, num)
        if isinstance(self.condition, MapCondition):
            labels = require_values(labels, "labels")
            if tf.executing_eagerly():
                refuse_other_range(labels, "labels: a value of a map")
        elif not labels.dtype.is_floating:
            raise ValueError(f"labels of dtype {labels.dtype.name}: {what} must be floats")
        return tf.cast(labels, self.compute_dtype)

    @staticmethod
    def _check_number(labels, num):
        """Raises ValueError if there are known to be more or fewer labels than images."""
        given = labels.shape[0] if labels.shape.rank else None
        if None not in (num, given) and given != num:
            raise ValueError(f"labels: {given} given for {num} images")

    def seeds_for(self, images: tf.Tensor, seed: Seed | None) -> tf.Tensor:
        """The seeds of `pixelcnn_tf.random.RandomBits` for the images of a batch.

        Args:
          images: `[B, H, W, C]`.
          seed: one seed for the batch, int or `[2]`; `[B, 2]` or `[B, 3]`, used as they are; or
            None, which draws from TensorFlow's global generator: new at each call, and not
            reproducible across a resume. Give seeds wherever a run must be.
        """
        if seed is None:
            seed = tf.random.uniform([2], tf.int32.min, tf.int32.max, tf.int32)
        return noise_seeds(seed, tf.shape(images)[0])

    def get_config(self):
        condition = {}
        if self.encoder is not None:
            condition["condition"] = keras.saving.serialize_keras_object(self.encoder)
        elif self.condition is not None:
            condition["condition"] = self.condition.name
        return super().get_config() | {
            "image_shape": self.image_shape,
            "num_classes": self.num_classes,
            "num_levels": self.num_levels,
            **condition,
        }
