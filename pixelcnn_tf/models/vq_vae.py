"""VQ-VAE (van den Oord, Vinyals and Kavukcuoglu 2017, "Neural Discrete Representation
Learning").
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.checks import require_integer
from pixelcnn_tf.layers.vector_quantizer import RENAMED_ARGUMENTS, VectorQuantizer
from pixelcnn_tf.levels import input_to_levels
from pixelcnn_tf.likelihoods.reconstruction import Reconstruction, ReconstructionError
from pixelcnn_tf.models.image_model import ImageModel
from pixelcnn_tf.random import Seed
from pixelcnn_tf.renamed import renamed

STAGES = 2  # of stride 2: one code per 4 x 4 pixels
STRIDE = 2**STAGES


@keras.saving.register_keras_serializable("pixelcnn_tf", "VQVAEResidualBlock")
class ResidualBlock(keras.layers.Layer):
    """`x + conv1x1(relu(conv3x3(relu(x))))`, `[B, h, w, filters]` -> the same shape (section 4.1).

    Args:
      filters: feature maps.
    """

    def __init__(self, filters: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        dtype = self.dtype_policy
        self.inner = keras.layers.Conv2D(filters, 3, padding="same", dtype=dtype, name="inner")
        # Without a bias: TensorFlow 2.21 would try to fuse it with the sums of two blocks, fail and
        # log an error.
        self.outer = keras.layers.Conv2D(filters, 1, use_bias=False, dtype=dtype, name="outer")

    def call(self, x):
        return x + self.outer(tf.nn.relu(self.inner(tf.nn.relu(x))))

    def get_config(self):
        return super().get_config() | {"filters": self.filters}


@keras.saving.register_keras_serializable("pixelcnn_tf")
@renamed(RENAMED_ARGUMENTS | {"commitment": "commitment_cost"})
class VQVAE(ImageModel):
    """An autoencoder whose latents are codes: a map of integers, one per 4 x 4 pixels.

    The variables exist after construction. Images may have any size; the codes at the lower and
    right edge may stand for fewer pixels. `initialize` sets the codebook to latents of a first
    batch and measures the data's variance. Train with `train.main`, or with a custom loop over
    `likelihood.loss` that calls `update_ema(ema_statistics(...))` after each step; Keras' `fit` is
    not supported.

    Args:
      image_shape: `(H, W, C)`.
      nr_resnet: residual blocks of the encoder, and of the decoder.
      nr_filters: feature maps of both.
      num_embeddings: K, number of codes.
      embedding_dim: D, length of a code's vector.
      commitment_cost: beta, weight of the commitment loss.
      codebook_update, ema_decay, reset_unused_after: see `VectorQuantizer`.
      num_levels: number of levels per channel.

    Raises:
      ValueError: for an argument out of range.

    Example:
      >>> model = VQVAE((28, 28, 1), nr_filters=8, num_embeddings=16, embedding_dim=4)
      >>> codes = model.encode(tf.zeros([2, 28, 28, 1]))
      >>> codes.shape, model.decode(codes).shape
      (TensorShape([2, 7, 7]), TensorShape([2, 28, 28, 1]))
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        nr_resnet: int = 2,
        nr_filters: int = 256,
        num_embeddings: int = 512,
        embedding_dim: int = 64,
        commitment_cost: float = 0.25,
        codebook_update: str = "gradient",
        ema_decay: float = 0.99,
        reset_unused_after: int = 0,
        num_levels: int = 256,
        **kwargs,
    ):
        super().__init__(image_shape, None, num_levels, **kwargs)
        self.nr_resnet = require_integer("nr_resnet", nr_resnet, 1)
        self.nr_filters = require_integer("nr_filters", nr_filters, 1)
        if isinstance(commitment_cost, bool) or not commitment_cost >= 0:
            raise ValueError(f"commitment_cost={commitment_cost!r}: must be a number, at least 0")
        self.commitment_cost = commitment_cost
        dtype = self.dtype_policy
        self.quantizer = VectorQuantizer(
            num_embeddings,
            embedding_dim,
            codebook_update,
            ema_decay,
            reset_unused_after,
            dtype=self.variable_dtype,
        )
        self.likelihood = ReconstructionError(num_levels, num_embeddings, commitment_cost)
        self.variance = self.add_weight(
            shape=(), initializer="ones", trainable=False, autocast=False, name="variance"
        )

        def conv(filters, kernel, name, **options):
            return keras.layers.Conv2D(
                filters, kernel, padding="same", dtype=dtype, name=name, **options
            )

        def up(filters, name, dtype=dtype):
            return keras.layers.Conv2DTranspose(
                filters, 3, strides=2, padding="same", dtype=dtype, name=name
            )

        def blocks():
            return tuple(ResidualBlock(nr_filters, dtype=dtype) for _ in range(nr_resnet))

        self.down = tuple(
            conv(nr_filters, 3, f"down_{number}", strides=2) for number in range(STAGES)
        )
        self.encoder_blocks = blocks()
        self.to_latents = conv(embedding_dim, 1, "to_latents")
        self.from_latents = conv(nr_filters, 3, "from_latents")
        self.decoder_blocks = blocks()
        self.up = (
            *(up(nr_filters, f"up_{number}") for number in range(STAGES - 1)),
            # In the variables' precision, as the heads of the other models.
            up(self.image_shape[-1], "to_image", self.variable_dtype),
        )
        self.build()

    @property
    def codes_shape(self) -> tuple[int, int, int]:
        """`(h, w, 1)`, the shape of the codes as an image."""
        height, width, _ = self.image_shape
        return -(-height // STRIDE), -(-width // STRIDE), 1

    def build(self, *_):
        """Creates every variable, by one pass over an image of one code."""
        images = tf.zeros([1, STRIDE, STRIDE, self.image_shape[-1]], self.compute_dtype)
        self.decode_latents(self.quantizer(self.latents(images)).quantized)
        self.built = True

    def compile(self, *args, **kwargs):
        """Not supported: `fit` would not update a codebook of moving averages.

        Raises:
          ValueError: always.
        """
        raise ValueError("VQVAE: Keras' fit is not supported, use train.main or a custom loop")

    def latents(self, images: tf.Tensor) -> tf.Tensor:
        """z_e: images `[B, H, W, C]` -> `[B, h, w, D]`, before they are quantised."""
        x = tf.cast(images, self.compute_dtype)
        for number, layer in enumerate(self.down):
            x = layer(tf.nn.relu(x) if number else x)
        for block in self.encoder_blocks:
            x = block(x)
        return self.to_latents(tf.nn.relu(x))

    def decode_latents(self, latents: tf.Tensor) -> tf.Tensor:
        """Vectors `[B, h, w, D]` -> images `[B, 4 h, 4 w, C]`, around [-1, 1]."""
        x = self.from_latents(tf.cast(latents, self.compute_dtype))
        for block in self.decoder_blocks:
            x = block(x)
        for layer in self.up:
            x = layer(tf.nn.relu(x))
        return x

    def call(
        self,
        images: tf.Tensor,
        labels: None = None,
        training: bool = False,
        seed: Seed | None = None,
    ) -> Reconstruction:
        """Encodes images, quantises, and decodes.

        Args:
          images: `[B, H, W, C]`, floats in [-1, 1].
          labels: must be None; the model is unconditional.
          training, seed: not used; the model has no dropout.

        Raises:
          ValueError: if images do not fit the model, or labels are given.
        """
        images = self.check_images(images)
        self.conditioning(labels)
        latents = self.quantizer(self.latents(images))
        decoded = self._crop(self.decode_latents(latents.quantized))
        return Reconstruction(decoded, latents, tf.convert_to_tensor(self.variance))

    def _crop(self, images):
        height, width, _ = self.image_shape
        return images[:, :height, :width]

    def encode(self, images: tf.Tensor) -> tf.Tensor:
        """Encodes images `[B, H, W, C]`, floats in [-1, 1], to codes int32 `[B, h, w]`.

        Raises:
          ValueError: if the images do not fit the model.
        """
        images = self.check_images(images)
        self.warn_if_unnormalized(images)
        latents = self.latents(images)
        return self.quantizer.nearest(tf.cast(latents, self.quantizer.variable_dtype))

    def decode(self, codes: tf.Tensor) -> tf.Tensor:
        """Decodes codes to images `[B, H, W, C]`, floats in [-1, 1], not rounded to levels.

        Args:
          codes: integers `[B, h, w]`, 0 ... num_embeddings - 1.

        Raises:
          ValueError: for codes of another shape, floats, or (when executing eagerly) codes out of
            range.
        """
        codes = tf.convert_to_tensor(codes)
        if not codes.dtype.is_integer:
            raise ValueError(
                f"codes of dtype {codes.dtype.name}: must be integers; "
                "pixelcnn_tf.levels.input_to_levels converts samples of a prior"
            )
        if codes.shape.rank != 3 or tuple(codes.shape[1:]) != self.codes_shape[:2]:
            raise ValueError(
                f"codes of shape {codes.shape}: must be [B, "
                f"{', '.join(map(str, self.codes_shape[:2]))}]"
            )
        if tf.executing_eagerly():
            last = self.quantizer.num_embeddings - 1
            wide = tf.cast(codes, tf.int64)  # small integer types cannot represent `last`
            wrong = tf.boolean_mask(wide, (wide < 0) | (wide > last))
            if len(wrong):
                raise ValueError(f"codes: must be in 0 ... {last}, got {wrong[0].numpy()}")
        images = self._crop(self.decode_latents(self.quantizer.lookup(codes)))
        return tf.clip_by_value(images, -1.0, 1.0)

    def decode_to_levels(self, codes: tf.Tensor) -> tf.Tensor:
        """Decodes codes to integer levels, int32 `[B, H, W, C]`; see `decode`."""
        return input_to_levels(self.decode(codes), self.num_levels)

    def initialize(self, images: tf.Tensor, labels: tf.Tensor | None = None, seed: int = 0) -> None:
        """Sets the codebook to latents of a first batch, and `variance` to its variance.

        Args:
          images: `[B, H, W, C]`, floats in [-1, 1].
          labels: not used.
          seed: int.
        """
        images = tf.cast(self.check_images(images), self.variable_dtype)
        self.warn_if_unnormalized(images)
        self.variance.assign(tf.maximum(tf.math.reduce_variance(images), 1e-6))
        self.quantizer.start(self.latents(images), int(seed))

    def ema_statistics(self, outputs: Reconstruction, seeds: tf.Tensor) -> dict:
        """See `VectorQuantizer.ema_statistics`."""
        return self.quantizer.ema_statistics(outputs.latents, seeds)

    def update_ema(self, statistics: dict) -> None:
        """See `VectorQuantizer.update_ema`."""
        self.quantizer.update_ema(statistics)

    def get_config(self):
        quantizer = self.quantizer
        config = super().get_config() | {
            "nr_resnet": self.nr_resnet,
            "nr_filters": self.nr_filters,
            "num_embeddings": quantizer.num_embeddings,
            "embedding_dim": quantizer.embedding_dim,
            "commitment_cost": self.commitment_cost,
            "codebook_update": quantizer.codebook_update,
            "ema_decay": quantizer.ema_decay,
            "reset_unused_after": quantizer.reset_unused_after,
        }
        del config["num_classes"]
        return config
