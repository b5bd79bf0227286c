"""The base classes of the models: `ImageModel`, and `AutoregressiveModel`, which draws images."""

import types
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from pixelcnn_tf import sampling
from pixelcnn_tf.checks import require_image_shape, require_integer
from pixelcnn_tf.conditions import Embedding, MapCondition, make_condition
from pixelcnn_tf.levels import require_in_range, require_values
from pixelcnn_tf.likelihoods.base import require_likelihood
from pixelcnn_tf.models.keras_integration import KerasIntegration
from pixelcnn_tf.random import Seed, noise_seeds
from pixelcnn_tf.renamed import renamed


@renamed(
    attributes={
        "own_condition": "compute_condition",
        "statistics": "ema_statistics",
        "learn": "update_ema",
        "state": "non_gradient_variables",
        "watch_range": "warn_if_unnormalized",
    }
)
class ImageModel(KerasIntegration, keras.Model):
    """A network whose output an objective turns into a loss and scores.

    Args:
      image_shape: `(H, W, C)`.
      num_classes: number of classes of a class-conditional model, or None.
      num_levels: number of levels per channel, see `pixelcnn_tf.levels`.

    Attributes:
      likelihood: the model's `Objective` (`pixelcnn_tf.likelihoods.base`), which is a `Likelihood`
        unless the model is trained for something else; set by the subclass.
      spatial_channels: channels D of the map `[B, H, W, D]` that the model is conditioned on, or
        None.
      condition: the `MapCondition` or `Embedding` (`pixelcnn_tf.conditions`) that the model is
        conditioned on, or None.
      encoder: the Keras model of an `Embedding`, or None.
      remat: whether training recomputes activations to save memory (gradient checkpointing), in
        models that support it.
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
        # Namespaces, which Keras does not track.
        self.sampling_functions = types.SimpleNamespace()  # see pixelcnn_tf.sampling.compiled
        self.sizes = types.SimpleNamespace(models={self.image_shape[:2]: self})

    def initialize(
        self, images: tf.Tensor, labels: tf.Tensor | None = None, seed: Seed = 0
    ) -> None:
        """Data-dependent initialisation on a first batch, before training; does nothing in models
        without one. Call it outside `strategy.run`.

        Args:
          images: `[B, H, W, C]`, floats in [-1, 1].
          labels: as for `conditioning`.
          seed: int, for the random parts of it.
        """

    def ema_statistics(self, outputs: tf.Tensor, seeds: tf.Tensor) -> dict:
        """Statistics of a batch for `update_ema`: a dict of tensors, sums over images; empty in
        models without moving averages. Add the statistics of all replicas.

        Args:
          outputs: the model's output in training, for the batch or a replica's share of it.
          seeds: int32 `[B, 3]`, see `pixelcnn_tf.random.batch_places`.
        """
        return {}

    def update_ema(self, statistics: dict) -> None:
        """Updates the variables without gradients from the `ema_statistics` of a global batch."""

    @property
    def non_gradient_variables(self) -> list:
        """The variables that `update_ema` or `initialize` changes, and gradients do not; empty for
        most models. The variables of an `encoder` never change and are not among them."""
        fixed = {id(v) for v in self.encoder.variables} if self.encoder is not None else ()
        return [
            v
            for v in self.non_trainable_variables
            if tf.as_dtype(v.dtype).is_floating and id(v) not in fixed
        ]

    @property
    def num_conditions(self) -> int | None:
        """Length of the conditioning vector, or channels of the conditioning map; None for an
        unconditional model."""
        if self.spatial_channels is not None:
            return self.spatial_channels
        return self.num_classes if self.condition is None else self.condition.channels

    def at_size(self, height: int, width: int) -> "ImageModel":
        """This model for images of another size, with the same layers and variables: training one
        trains the other.

        Args:
          height, width: at least 1.

        Returns:
          A model of the same class with `image_shape` `(height, width, C)`, created once per size;
          `self` for its own size.

        Raises:
          ValueError: unless both sizes are integers of at least 1.
        """
        size = require_integer("height", height, 1), require_integer("width", width, 1)
        models = self.sizes.models
        if size not in models:
            other = object.__new__(type(self))
            # Not with setattr: Keras would track everything a second time.
            vars(other).update(vars(self))
            vars(other).update(
                image_shape=(*size, self.image_shape[-1]),
                sampling_functions=types.SimpleNamespace(),
                # Keras' compiled functions belong to the other size.
                train_function=None,
                test_function=None,
                predict_function=None,
            )
            models[size] = other
        return models[size]

    def check_images(self, images: tf.Tensor) -> tf.Tensor:
        """Returns `images` as a tensor of their own dtype.

        Raises:
          ValueError: unless they are floats `[B, H, W, C]` of this model's `image_shape`, B at
            least 1.
        """
        images = require_values(images)
        if images.shape.rank != 4 or tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"images of shape {images.shape}: must be [B, "
                f"{', '.join(map(str, self.image_shape))}]"
            )
        if images.shape[0] == 0:
            raise ValueError("images: the batch is empty")
        return images

    def set_condition(
        self, condition: str | keras.Model | Mapping | None, spatial_channels: int | None
    ) -> None:
        """Conditions the model on `condition` (see `make_condition`), or on any map with this many
        channels.

        Raises:
          ValueError: for an unknown condition, one that does not fit the images, or if the model
            also has classes.
        """
        other = f"spatial_channels={spatial_channels}"
        if condition is not None:
            self.condition = make_condition(condition, self.image_shape, self.num_levels)
            other = f"condition={self.condition.name!r}"
            if spatial_channels not in (None, self.condition.channels):
                raise ValueError(
                    f"spatial_channels={spatial_channels!r}: must be None, {other} has "
                    f"{self.condition.channels} channels"
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
                f"num_classes={self.num_classes} and {other}: a model has one condition, use only "
                "one of them"
            )
        self.spatial_channels = spatial_channels

    def compute_condition(self, images: tf.Tensor) -> tf.Tensor | None:
        """Computes the model's `condition` from images.

        Args:
          images: `[B, H, W, C]`, level values in [-1, 1].

        Returns:
          A map `[B, H, W, D]` or vectors `[B, D]`; None if the model has no `condition`.

        Raises:
          ValueError: if the images do not fit the model.
        """
        if self.condition is None:
            return None
        images = self.check_images(images)
        condition = self.condition.from_images(images)
        return self.condition.broadcast_to_image(condition, self.image_shape)

    def conditioning(self, labels: tf.Tensor | None, num: int | None = None) -> tf.Tensor | None:
        """The conditioning tensor of labels.

        Args:
          labels: integer classes `[B]`, 0 ... num_classes - 1, or vectors `[B, num_classes]`
            (floats); with `spatial_channels`, maps `[B, H, W, spatial_channels]`, floats; with an
            `encoder`, its vectors `[B, D]`; None for an unconditional model.
          num: the number of images, if it is known.

        Returns:
          One-hot or given vectors `[B, num_classes]`, the maps, or None.

        Raises:
          ValueError: if labels are given to an unconditional model or missing for a
            conditional one, if their shape is wrong, if maps or vectors are integers, or (when
            executing eagerly) if a label, or a value of a `MapCondition`, is out of range.
          InvalidArgumentError: when a `tf.function` runs, if a label is out of range.
        """
        if self.spatial_channels is not None:
            expected = [*self.image_shape[:2], self.spatial_channels]
            return self._as_condition("maps", expected, labels, num)
        if self.condition is not None:
            return self._as_condition("vectors", [self.condition.channels], labels, num)
        if self.num_classes is None:
            if labels is not None:
                raise ValueError("labels: must be None, the model has num_classes=None")
            return None
        if labels is None:
            raise ValueError(f"labels: missing, the model has num_classes={self.num_classes}")
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
                    f"labels: must be in 0 ... {self.num_classes - 1}, got {wrong[0].numpy()}"
                )
        else:
            message = f"labels: must be in 0 ... {self.num_classes - 1}"
            with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(right), [message])]):
                labels = tf.identity(labels)
        return tf.one_hot(labels, self.num_classes, dtype=self.compute_dtype)

    def _as_condition(self, what, expected, labels, num):
        """`labels` as floats `[B, *expected]`. Raises ValueError if they are anything else."""
        shape = None if labels is None else tf.convert_to_tensor(labels).shape
        if labels is None or shape.rank != len(expected) + 1 or list(shape[1:]) != expected:
            raise ValueError(
                f"labels of shape {shape}: must be {what} [B, {', '.join(map(str, expected))}]"
            )
        labels = tf.convert_to_tensor(labels)
        self._check_number(labels, num)
        if isinstance(self.condition, MapCondition):
            labels = require_values(labels, "labels")
            if tf.executing_eagerly():
                require_in_range(labels, "labels")
        elif not labels.dtype.is_floating:
            raise ValueError(f"labels of dtype {labels.dtype.name}: {what} must be floats")
        return tf.cast(labels, self.compute_dtype)

    @staticmethod
    def _check_number(labels, num):
        """Raises ValueError if there are known to be more or fewer labels than images."""
        found = labels.shape[0] if labels.shape.rank else None
        if None not in (num, found) and found != num:
            raise ValueError(f"labels: must be one per image, got {found} for {num} images")

    def seeds_for(self, images: tf.Tensor, seed: Seed | None) -> tf.Tensor:
        """The seeds of `pixelcnn_tf.random.RandomBits` for the images of a batch.

        Args:
          images: `[B, H, W, C]`.
          seed: one seed for the batch, int or `[2]`; `[B, 2]` or `[B, 3]`, returned as they are;
            or None, which draws from TensorFlow's global generator and is not reproducible when
            a run is resumed.
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


class AutoregressiveModel(ImageModel):
    """A network that maps images to the parameters of every pixel's distribution, each computed
    only from the pixels before it in raster order.

    Arguments and further attributes: see `ImageModel`.

    Attributes:
      passes_per_pixel: passes of the network that sample one pixel: 1 if the likelihood samples
        all channels of a pixel at once; C if the network itself lets G depend on R, and B on both,
        so that pass c samples channel c only.
    """

    passes_per_pixel = 1

    def log_prob(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """The log-probability of images.

        Args:
          images: `[B, H, W, C]`, level values in [-1, 1].
          labels: as for `conditioning`.

        Returns:
          `[B]`, nats, float32 (float64 from a float64 model).

        Raises:
          ValueError: if images or labels do not fit the model, or its objective is not a
            `Likelihood`.
        """
        likelihood = require_likelihood(self.likelihood)
        nats = likelihood.log_prob(images, self(images, labels))
        return tf.reduce_sum(nats, axis=[1, 2])

    def sample(
        self, num_samples: int, seed: Seed | None = None, labels: tf.Tensor | None = None, **options
    ) -> tf.Tensor:
        """Samples new images: `pixelcnn_tf.sampling.sample` of this model."""
        return sampling.sample(self, num_samples, seed, labels, **options)

    def complete(
        self,
        images: tf.Tensor,
        mask: tf.Tensor,
        seed: Seed | None = None,
        labels: tf.Tensor | None = None,
        **options,
    ) -> tf.Tensor:
        """Completes images: `pixelcnn_tf.sampling.complete` of this model."""
        return sampling.complete(self, images, mask, seed, labels, **options)

    def sample_pixels(
        self,
        images: tf.Tensor,
        labels: tf.Tensor | None,
        uniforms: tf.Tensor,
        quantize: bool = True,
        temperature: float = 1.0,
    ) -> tf.Tensor:
        """Samples every pixel given the pixels before it in `images`, in one pass.

        Args:
          images: `[B, H, W, C]` in [-1, 1].
          labels: as for `conditioning`.
          uniforms: `[B, H, W, likelihood.num_uniforms]`.
          quantize: round to the nearest level.
          temperature: see `Likelihood.sample`.

        Returns:
          `[B, H, W, C]`; each pixel is sampled as if all pixels before it were as in `images`.
        """
        parameters = self(images, labels)
        return self.likelihood.sample(parameters, uniforms, quantize, temperature)

    def make_cached_sampler(self):
        """The model's fast sampler (its interface: `pixelcnn_tf.sampling.cached`), or None."""
        return None
