"""VQ-VAE (van den Oord, Vinyals and Kavukcuoglu 2017, "Neural Discrete Representation
Learning").
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.checks import require_integer
from pixelcnn_tf.layers.vector_quantizer import VectorQuantizer
from pixelcnn_tf.levels import input_to_levels
from pixelcnn_tf.likelihoods.reconstruction import Reconstruction, ReconstructionError
from pixelcnn_tf.models.image_model import ImageModel
from pixelcnn_tf.random import Seed

STAGES = 2  # of stride 2: a code stands for 4 x 4 pixels
STRIDE = 2**STAGES


@keras.saving.register_keras_serializable("pixelcnn_tf", "VQVAEResidualBlock")
class ResidualBlock(keras.layers.Layer):
    """`x + conv1x1(relu(conv3x3(relu(x))))`, of as many maps as the input (section 4.1).

    Args:
      filters: maps.
    """

    def __init__(self, filters: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        dtype = self.dtype_policy
        self.inner = keras.layers.Conv2D(filters, 3, padding="same", dtype=dtype, name="inner")
        # Without a bias: TensorFlow 2.21 would try to fuse it with the sums of two blocks, and log
        # an error as it fails.
        self.outer = keras.layers.Conv2D(filters, 1, use_bias=False, dtype=dtype, name="outer")

    def call(self, x):
        return x + self.outer(tf.nn.relu(self.inner(tf.nn.relu(x))))

    def get_config(self):
        return super().get_config() | {"filters": self.filters}


@keras.saving.register_keras_serializable("pixelcnn_tf")
class VQVAE(ImageModel):
    """An autoencoder whose latents are codes: a map of integers, one for each 4 x 4 pixels. The
    variables exist after construction. Images of any size: the last codes of a row and column may
    stand for less.

    `initialize` puts the codebook onto latents of a first batch and measures the data's variance.
    It is trained by `train.main`, or by a loop of one's own over `likelihood.loss`, with
    `learn(statistics(...))` after each step; not by Keras' `fit`.

    Args:
      image_shape: `(H, W, C)`.
      nr_resnet: residual blocks of the encoder, and of the decoder.
      nr_filters: maps of both.
      nr_embeddings: K, number of codes.
      embedding_dim: D, length of a code's vector.
      commitment: beta, weight of the commitment loss.
      codebook, ema_decay, restart_codes: see `VectorQuantizer`.
      num_levels: number of levels per channel.

    Raises:
      ValueError: for an argument out of its range.

    Example:
      >>> model = VQVAE((28, 28, 1), nr_filters=8, nr_embeddings=16, embedding_dim=4)
      >>> codes = model.encode(tf.zeros([2, 28, 28, 1]))
      >>> codes.shape, model.decode(codes).shape
      (TensorShape([2, 7, 7]), TensorShape([2, 28, 28, 1]))
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        nr_resnet: int = 2,
        nr_filters: int = 256,
        nr_embeddings: int = 512,
        embedding_dim: int = 64,
        commitment: float = 0.25,
        codebook: str = "loss",
        ema_decay: float = 0.99,
        restart_codes: int = 0,
        num_levels: int = 256,
        **kwargs,
    ):
        super().__init__(image_shape, None, num_levels, **kwargs)
        self.nr_resnet = require_integer("nr_resnet", nr_resnet, 1)
        self.nr_filters = require_integer("nr_filters", nr_filters, 1)
        if isinstance(commitment, bool) or not commitment >= 0:
            raise ValueError(f"commitment={commitment!r}: must be a number of at least 0")
        self.commitment = commitment
        dtype = self.dtype_policy
        self.quantizer = VectorQuantizer(
            nr_embeddings,
            embedding_dim,
            codebook,
            ema_decay,
            restart_codes,
            dtype=self.variable_dtype,
        )
        self.likelihood = ReconstructionError(num_levels, nr_embeddings, commitment)
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
            # In the precision of the variables, as the heads of the other models.
            up(self.image_shape[-1], "to_image", self.variable_dtype),
        )
        self.build()

    @property
    def codes_shape(self) -> tuple[int, int, int]:
        """`(h, w, 1)` of the codes, as an image of codes."""
        height, width, _ = self.image_shape
        return -(-height // STRIDE), -(-width // STRIDE), 1

    def build(self, *_):
        """Creates every variable, by one pass over an image of one code."""
        images = tf.zeros([1, STRIDE, STRIDE, self.image_shape[-1]], self.compute_dtype)
        self.decode_latents(self.quantizer(self.latents(images)).quantized)
        self.built = True

    def compile(self, *args, **kwargs):
        """Not offered: `fit` would not move a codebook of moving averages.

        Raises:
          ValueError: always.
        """
        raise ValueError("a VQVAE is not trained by Keras' fit: use train.main or a loop of yours")

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
          labels: None: the model has no classes.
          training, seed: for the common interface; nothing here is random.

        Raises:
          ValueError: if images do not fit the model, or labels are given.
        """
        images = self.check_images(images)
        self.conditioning(labels)
        latents = self.quantizer(self.latents(images))
        decoded = self._cut(self.decode_latents(latents.quantized))
        return Reconstruction(decoded, latents, tf.convert_to_tensor(self.variance))

    def _cut(self, images):
        height, width, _ = self.image_shape
        return images[:, :height, :width]

    def encode(self, images: tf.Tensor) -> tf.Tensor:
        """The codes int32 `[B, h, w]` of images `[B, H, W, C]`, floats in [-1, 1].

        Raises:
          ValueError: if the images do not fit the model.
        """
        images = self.check_images(images)
        self.watch_range(images)
        latents = self.latents(images)
        return self.quantizer.nearest(tf.cast(latents, self.quantizer.variable_dtype))

    def decode(self, codes: tf.Tensor) -> tf.Tensor:
        """The images of codes, float `[B, H, W, C]` in [-1, 1], not rounded to levels.

        Args:
          codes: integers `[B, h, w]`, 0 ... nr_embeddings - 1.

        Raises:
          ValueError: for codes of another shape, floats, or (when executing eagerly) codes out of
            range.
        """
        codes = tf.convert_to_tensor(codes)
        if not codes.dtype.is_integer:
            raise ValueError(
                f"codes of dtype {codes.dtype.name}: must be integers; "
                "pixelcnn_tf.levels.input_to_levels makes them of what a prior samples"
            )
        if codes.shape.rank != 3 or tuple(codes.shape[1:]) != self.codes_shape[:2]:
            raise ValueError(
                f"codes of shape {codes.shape}: this model takes [B, "
                f"{', '.join(map(str, self.codes_shape[:2]))}]"
            )
        if tf.executing_eagerly():
            last = self.quantizer.nr_embeddings - 1
            wide = tf.cast(codes, tf.int64)  # small integers cannot hold every number of codes
            wrong = tf.boolean_mask(wide, (wide < 0) | (wide > last))
            if len(wrong):
                raise ValueError(f"codes: {wrong[0].numpy()} is not in 0 ... {last}")
        images = self._cut(self.decode_latents(self.quantizer.lookup(codes)))
        return tf.clip_by_value(images, -1.0, 1.0)

    def decode_to_levels(self, codes: tf.Tensor) -> tf.Tensor:
        """`decode`, as integer levels int32 `[B, H, W, C]`."""
        return input_to_levels(self.decode(codes), self.num_levels)

    def initialize(self, images: tf.Tensor, labels: tf.Tensor | None = None, seed: int = 0) -> None:
        """Puts the codebook onto latents of a first batch, and notes the variance of its values.

        Args:
          images: `[B, H, W, C]`, floats in [-1, 1].
          labels: not used.
          seed: int.
        """
        images = tf.cast(self.check_images(images), self.variable_dtype)
        self.watch_range(images)
        self.variance.assign(tf.maximum(tf.math.reduce_variance(images), 1e-6))
        self.quantizer.start(self.latents(images), int(seed))

    def statistics(self, outputs: Reconstruction, seeds: tf.Tensor) -> dict:
        """See `VectorQuantizer.statistics`."""
        return self.quantizer.statistics(outputs.latents, seeds)

    def learn(self, statistics: dict) -> None:
        """See `VectorQuantizer.learn`."""
        self.quantizer.learn(statistics)

    def get_config(self):
        quantizer = self.quantizer
        config = super().get_config() | {
            "nr_resnet": self.nr_resnet,
            "nr_filters": self.nr_filters,
            "nr_embeddings": quantizer.nr_embeddings,
            "embedding_dim": quantizer.embedding_dim,
            "commitment": self.commitment,
            "codebook": quantizer.codebook,
            "ema_decay": quantizer.ema_decay,
            "restart_codes": quantizer.restart_codes,
        }
        del config["num_classes"]
        return config
