"""What every model of the family offers to trainer, evaluation, samplers and export."""

import tensorflow as tf

from pixelcnn_tf import sampling
from pixelcnn_tf.models.image_model import ImageModel
from pixelcnn_tf.random import Seed


class AutoregressiveModel(ImageModel):
    """A network that maps images to the parameters of a distribution for every pixel, each
    pixel's computed from the pixels before it in raster order alone.

    Arguments and further attributes as those of `ImageModel`.

    Attributes:
      passes_per_pixel: passes of the network that sample one pixel: 1 where the likelihood
        samples all channels of a pixel at once; C where the network itself lets G see R, and B
        see both, so that pass c gives channel c only.
    """

    passes_per_pixel = 1

    def log_prob(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """The log-probability of whole images.

        Args:
          images: `[B, H, W, C]`, level values in [-1, 1].
          labels: as for `conditioning`.

        Returns:
          `[B]`, nats, float32 (float64 from a float64 model).

        Raises:
          ValueError: if images or labels do not fit the model, or it has no likelihood.
        """
        nats = self.likelihood.log_prob(images, self(images, labels))
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
          `[B, H, W, C]`: what each pixel would be if all before it were as in `images`.
        """
        parameters = self(images, labels)
        return self.likelihood.sample(parameters, uniforms, quantize, temperature)

    def make_cached_sampler(self):
        """The model's fast sampler (see `CachedSampler` for what it must offer), or None."""
        return None
