"""What every model of the family offers to trainer, evaluation, samplers and export."""

import types

import keras
import tensorflow as tf

from pixelcnn_tf.random import example_seeds


class AutoregressiveModel(keras.Model):
    """A network that maps images to the parameters of a distribution for every pixel, each
    pixel's computed from the pixels before it in raster order alone.

    Args:
      image_shape: `(H, W, C)`.
      num_classes: number of classes of a class-conditional model, or None.
      num_levels: number of levels per channel, see `pixelcnn_tf.levels`.

    Attributes:
      likelihood: a `pixelcnn_tf.likelihoods.base.Likelihood`, set by the subclass.
      passes_per_pixel: passes of the network that sample one pixel: 1 where the likelihood
        samples all channels of a pixel at once; C where the network itself lets G see R, and B
        see both, so that pass c gives channel c only.
      remat: set it to True to save memory in training at the price of time (gradient
        checkpointing), where the model offers it.
    """

    passes_per_pixel = 1
    remat = False

    def __init__(self, image_shape, num_classes=None, num_levels=256, **kwargs):
        super().__init__(**kwargs)
        if len(image_shape) != 3 or any(int(n) != n or n < 1 for n in image_shape):
            raise ValueError(f"image_shape={image_shape!r}: must be (H, W, C), all at least 1")
        if num_classes is not None and num_classes < 1:
            raise ValueError(f"num_classes={num_classes!r}: must be at least 1, or None")
        self.image_shape = tuple(int(n) for n in image_shape)
        self.num_classes = num_classes
        self.num_levels = num_levels
        # Compiled sampling functions (pixelcnn_tf.sampling); a namespace, which Keras leaves alone.
        self.compiled = types.SimpleNamespace(functions={})

    def __call__(self, images, labels=None, training=False, **options):
        # Keras takes only tensors as positional arguments; labels may be a list or an array.
        if labels is not None:
            labels = tf.convert_to_tensor(labels)
        return super().__call__(images, labels, training=training, **options)

    def initialize(self, images, labels=None, seed=0):
        """What the model does once, on a first batch, before it is trained: nothing, unless a
        subclass says otherwise. Call it outside `strategy.run`.

        Args:
          images: `[B, H, W, C]`, floats in [-1, 1].
          labels: as for `conditioning`.
          seed: int, for whatever is random in it.
        """

    def check_images(self, images):
        """Returns `images` as a tensor of the dtype that they have.

        Raises:
          ValueError: unless they are floats `[B, H, W, C]` of this model's `image_shape`.
        """
        images = tf.convert_to_tensor(images)
        if not images.dtype.is_floating:
            raise ValueError(
                f"images of dtype {images.dtype.name}: must be floats in [-1, 1]; "
                "pixelcnn_tf.levels.levels_to_input converts integer levels"
            )
        if images.shape.rank != 4 or tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"images of shape {images.shape}: this model takes [B, "
                f"{', '.join(map(str, self.image_shape))}]"
            )
        return images

    def conditioning(self, labels):
        """The conditioning vector h `[B, num_classes]` of labels, or None.

        Args:
          labels: integer classes `[B]`, 0 ... num_classes - 1, or already vectors
            `[B, num_classes]` (floats); None for an unconditional model.

        Raises:
          ValueError: if labels are given to an unconditional model or missing for a
            conditional one, if their shape is wrong, or (when executing eagerly) if a label
            is out of range.
        """
        if self.num_classes is None:
            if labels is not None:
                raise ValueError("labels given, but the model was built with num_classes=None")
            return None
        if labels is None:
            raise ValueError(f"labels missing: the model has num_classes={self.num_classes}")
        labels = tf.convert_to_tensor(labels)
        if labels.dtype.is_floating:
            if labels.shape.rank != 2 or labels.shape[1] != self.num_classes:
                raise ValueError(
                    f"labels of shape {labels.shape}: vectors must be [B, {self.num_classes}]"
                )
            return tf.cast(labels, self.compute_dtype)
        if labels.shape.rank != 1:
            raise ValueError(f"labels of shape {labels.shape}: integer classes must be [B]")
        if tf.executing_eagerly():
            wrong = tf.boolean_mask(labels, (labels < 0) | (labels >= self.num_classes))
            if len(wrong):
                raise ValueError(
                    f"labels: {wrong[0].numpy()} is not in 0 ... {self.num_classes - 1}"
                )
        return tf.one_hot(labels, self.num_classes, dtype=self.compute_dtype)

    def seeds_for(self, images, seed):
        """Seeds `[B, 2]` for the images of a batch.

        Args:
          images: `[B, H, W, C]`.
          seed: `[B, 2]`, used as it is; one seed for the batch, int or `[2]`; or None, which
            draws from TensorFlow's global generator: new at each call, and not reproducible
            across a resume. Give seeds wherever a run must be.
        """
        if seed is None:
            seed = tf.random.uniform([2], tf.int32.min, tf.int32.max, tf.int32)
        elif not isinstance(seed, int):
            seed = tf.convert_to_tensor(seed)
            if seed.shape.rank == 2:
                return seed
        return example_seeds(seed, tf.shape(images)[0])

    def sample_pixels(self, images, labels, uniforms, quantize=True, temperature=1.0):
        """Samples every pixel given the pixels before it in `images`, in one pass.

        Args:
          images: `[B, H, W, C]` in [-1, 1].
          labels: as for `conditioning`.
          uniforms: `[B, H, W, likelihood.num_uniforms]`.
          quantize: round to the nearest level.
          temperature: see `Likelihood.sample`.

        Returns:
          `[B, H, W, C]`: what each pixel would be if all before it were as in `images`.
        """
        parameters = self(images, labels)
        return self.likelihood.sample(parameters, uniforms, quantize, temperature)

    def make_cached_sampler(self):
        """The model's fast sampler (see `CachedSampler` for what it must offer), or None."""
        return None

    def get_config(self):
        return super().get_config() | {
            "image_shape": self.image_shape,
            "num_classes": self.num_classes,
            "num_levels": self.num_levels,
        }
