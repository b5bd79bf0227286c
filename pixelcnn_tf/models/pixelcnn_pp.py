"""PixelCNN++: the U-Net of two streams (paper Figure 2; official `model_spec`)."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.checks import require_bool, require_integer, require_share
from pixelcnn_tf.layers.dropout import Dropout
from pixelcnn_tf.layers.gated_resnet import GatedResnet
from pixelcnn_tf.layers.heads import NUM_NOISE, NUM_SAMPLES, EnergyHead, MixtureHead
from pixelcnn_tf.layers.input_streams import HorizontalInput, VerticalInput
from pixelcnn_tf.layers.nonlinearities import get_nonlinearity
from pixelcnn_tf.layers.shifted_convolutions import (
    DownRightShiftedConv2D,
    DownRightShiftedConv2DTranspose,
    DownShiftedConv2D,
    DownShiftedConv2DTranspose,
)
from pixelcnn_tf.levels import check_num_levels
from pixelcnn_tf.likelihoods.discretized_mix_logistic import DiscretizedMixLogistic
from pixelcnn_tf.likelihoods.energy import EnergyDistance
from pixelcnn_tf.models.image_model import AutoregressiveModel
from pixelcnn_tf.models.image_pass import ImagePass, add_ones_channel, cut, extend
from pixelcnn_tf.models.initialization import data_dependent_init
from pixelcnn_tf.random import Seed, random_uniforms
from pixelcnn_tf.sampling.pixelcnn_pp.cached_sampler import CachedSampler
from pixelcnn_tf.sampling.pixelcnn_pp.condition_maps import condition_maps

PAPER_STAGES = 3  # resolutions: full, half, quarter
# Number of the energy head's draw; dropout's draws are numbered by block.
NOISE_NUMBER = 0x6E6F6973


@keras.saving.register_keras_serializable("pixelcnn_tf")
class PixelCNNPlusPlus(AutoregressiveModel):
    """PixelCNN++ (Salimans et al., ICLR 2017). The variables exist after construction.

    Args:
      image_shape: `(H, W, C)`; C 1 or 3. Inside the network height and width are padded to
        multiples of `multiple`; the output is cropped.
      nr_resnet: residual blocks per stage of the up pass; the down pass has one more in every stage
        but the lowest resolution.
      nr_filters: channels of the network.
      nr_logistic_mix: components of the mixture at every pixel.
      resnet_nonlinearity: "concat_elu", "elu" or "relu".
      dropout_p: dropout after the inner nonlinearity of every residual block.
      num_classes: classes of a class-conditional model, or None.
      spatial_channels: channels D of a conditioning map `[B, H, W, D]` instead of classes, or None.
        A 1x1 convolution adds it in every gated block; lower resolutions use its mean over 2 x 2,
        4 x 4, ... pixels.
      condition: a condition computed from the image itself (`pixelcnn_tf.conditions`): "grey" or
        "small:N" for maps; a Keras model from images to vectors, which is not trained; or None.
      energy_distance: use the energy distance and its head instead of a mixture.
      num_levels: number of levels per channel.
      remat: gradient checkpointing: keep only the inputs of each gated block for the backward pass,
        which recomputes the block; less memory, more time.
      num_stages: resolutions of the U-Net: full, half, quarter, ...; 3 in the paper.

    Attributes:
      multiple: `2 ** (num_stages - 1)`; height and width are padded to a multiple of it.

    Raises:
      ValueError: for an argument out of range.

    Example:
      >>> model = PixelCNNPlusPlus((32, 32, 3), nr_resnet=1, nr_filters=8)
      >>> images = tf.zeros([2, 32, 32, 3])
      >>> model(images).shape
      TensorShape([2, 32, 32, 100])
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        nr_resnet: int = 5,
        nr_filters: int = 160,
        nr_logistic_mix: int = 10,
        resnet_nonlinearity: str = "concat_elu",
        dropout_p: float = 0.5,
        num_classes: int | None = None,
        energy_distance: bool = False,
        num_levels: int = 256,
        remat: bool = False,
        spatial_channels: int | None = None,
        condition: str | keras.Model | None = None,
        num_stages: int = PAPER_STAGES,
        **kwargs,
    ):
        super().__init__(image_shape, num_classes, check_num_levels(num_levels), **kwargs)
        channels = self.image_shape[-1]
        if channels not in (1, 3):
            raise ValueError(f"image_shape={self.image_shape}: must have 1 or 3 channels")
        self.nonlinearity = get_nonlinearity(resnet_nonlinearity)
        self.set_condition(condition, spatial_channels)

        self.num_stages = require_integer("num_stages", num_stages, 1)
        self.nr_resnet = require_integer("nr_resnet", nr_resnet, 1)
        self.nr_filters = require_integer("nr_filters", nr_filters, 1)
        self.nr_logistic_mix = require_integer("nr_logistic_mix", nr_logistic_mix, 1)
        self.resnet_nonlinearity = resnet_nonlinearity
        self.dropout_p = require_share("dropout_p", dropout_p)
        self.energy_distance = require_bool("energy_distance", energy_distance)
        self.remat = require_bool("remat", remat)
        if energy_distance:
            self.likelihood = EnergyDistance(num_levels)
        else:
            self.likelihood = DiscretizedMixLogistic(nr_logistic_mix, channels, num_levels)
        self._make_layers()
        self.build()

    @property
    def multiple(self) -> int:
        return 2 ** (self.num_stages - 1)

    def _make_layers(self):
        filters, dtype = self.nr_filters, self.dtype_policy

        def resnets(stream, auxiliary, count):
            return tuple(
                GatedResnet(
                    filters,
                    stream,
                    self.resnet_nonlinearity,
                    auxiliary=auxiliary,
                    num_conditions=self.num_conditions,
                    dtype=dtype,
                )
                for _ in range(count)
            )

        up_counts = [self.nr_resnet] * self.num_stages
        down_counts = [self.nr_resnet] + [self.nr_resnet + 1] * (self.num_stages - 1)
        halvings = range(self.num_stages - 1)

        self.u_input = VerticalInput(filters, dtype=dtype)
        self.ul_input = HorizontalInput(filters, dtype=dtype)
        self.u_up = tuple(resnets("vertical", False, n) for n in up_counts)
        self.ul_up = tuple(resnets("horizontal", True, n) for n in up_counts)
        self.u_halve = tuple(DownShiftedConv2D(filters, strides=2, dtype=dtype) for _ in halvings)
        self.ul_halve = tuple(
            DownRightShiftedConv2D(filters, strides=2, dtype=dtype) for _ in halvings
        )
        self.u_down = tuple(resnets("vertical", True, n) for n in down_counts)
        self.ul_down = tuple(resnets("horizontal", True, n) for n in down_counts)
        self.u_double = tuple(
            DownShiftedConv2DTranspose(filters, strides=2, dtype=dtype) for _ in halvings
        )
        self.ul_double = tuple(
            DownRightShiftedConv2DTranspose(filters, strides=2, dtype=dtype) for _ in halvings
        )
        # The head computes in the variables' precision: bfloat16's 8 bits are coarser than 256
        # levels.
        dtype = self.variable_dtype
        if self.energy_distance:
            self.head = EnergyHead(self.image_shape[-1], dtype=dtype)
        else:
            self.head = MixtureHead(self.likelihood.num_parameters, dtype=dtype)

    def build(self, *_):
        """Creates every variable, by a walk over numbers of channels instead of images."""

        def run(layer, channels, a=()):
            shape, *a_shape = ((None, None, None, number) for number in (channels, *a))
            layer.build(shape, a_shape) if a else layer.build(shape)
            return layer.filters

        self.walk(self.image_shape[-1] + 1, run)
        self.built = True

    def walk(self, image, run: Callable):
        """Runs the layers in order: the only definition of the network's topology, used for
        training, initialisation, official names and samplers.

        `u` is the vertical stream (rows above), `ul` the horizontal one (above and to the left),
        as in the official code.

        Args:
          image: the image with its channel of ones, of any type that `run` accepts.
          run: `run(layer, x, a=())` applies one layer; `a` is the auxiliary input of a gated
            residual block, a tuple of earlier results of `run`.

        Returns:
          The result of `run` for the head.
        """
        # Up pass: each stage's outputs are kept for the down pass.
        u = run(self.u_input, image)
        ul = run(self.ul_input, image)
        u_skips, ul_skips = [u], [ul]
        for stage in range(self.num_stages):
            if stage > 0:
                u = run(self.u_halve[stage - 1], u)
                ul = run(self.ul_halve[stage - 1], ul)
                u_skips.append(u)
                ul_skips.append(ul)
            for u_resnet, ul_resnet in zip(self.u_up[stage], self.ul_up[stage], strict=True):
                u = run(u_resnet, u)
                ul = run(ul_resnet, ul, (u,))
                u_skips.append(u)
                ul_skips.append(ul)

        # Down pass: every residual block has a shortcut to its mirror image above.
        u, ul = u_skips.pop(), ul_skips.pop()
        for stage in range(self.num_stages):
            if stage > 0:
                u = run(self.u_double[stage - 1], u)
                ul = run(self.ul_double[stage - 1], ul)
            for u_resnet, ul_resnet in zip(self.u_down[stage], self.ul_down[stage], strict=True):
                u = run(u_resnet, u, (u_skips.pop(),))
                ul = run(ul_resnet, ul, (u, ul_skips.pop()))
        assert not u_skips and not ul_skips
        return run(self.head, ul)

    def call(
        self,
        images: tf.Tensor,
        labels: tf.Tensor | None = None,
        training: bool = False,
        seed: Seed | None = None,
        dropout_masks: Sequence | None = None,
        noise: tf.Tensor | None = None,
        init: bool = False,
    ) -> tf.Tensor:
        """The parameters of every pixel's distribution.

        Args:
          images: `[B, H, W, C]`, floats in [-1, 1].
          labels: classes `[B]`, vectors `[B, num_classes]` or maps `[B, H, W, spatial_channels]`;
            None for an unconditional model, or to compute the model's `condition` from the images.
          training: apply dropout.
          seed: for dropout and the energy head's noise: an int or `[2]` for the batch; `[B, 2]`
            int32, one per example, for noise independent of the rest of the batch; `[B, 3]`,
            places in a larger batch, see `pixelcnn_tf.random.batch_places`; None draws from
            TensorFlow's global generator.
          dropout_masks: instead of random ones: 0/1 arrays, one for each gated residual block
            in call order; implies `training`.
          noise: instead of random noise for the energy head, `[K, B, H, W, 4]` in [-1, 1], or
            `[K * B, H, W, 4]` as in the official code.
          init: initialise every layer from this batch before it is applied, see
            `data_dependent_init`.

        Returns:
          `[B, H, W, 10 * nr_logistic_mix]` for 3 channels, `[B, H, W, 3 * nr_logistic_mix]`
          for one (see `split_parameters`); with `energy_distance` samples `[K, B, H, W, C]`, K of
          `noise`, by default 10.

        Raises:
          ValueError: if images or labels do not fit the model.
        """
        images = self.check_images(images)
        labels = self.compute_condition(images) if labels is None else labels
        images = tf.cast(images, self.compute_dtype)
        h = self.conditioning(labels, images.shape[0])
        if self.spatial_channels is not None:
            h = condition_maps(h, self.num_stages)
        dropout = None
        if dropout_masks is not None:
            dropout = Dropout(self.dropout_p, masks=dropout_masks)
        elif training and self.dropout_p > 0:
            seed = self.seeds_for(images, seed)
            dropout = Dropout(self.dropout_p, seeds=seed)
        if self.energy_distance and noise is None:
            noise = self.draw_noise(images, seed)
        if noise is not None:
            noise = extend(tf.convert_to_tensor(noise), self.multiple)
        remat = self.remat and training and not init
        run = ImagePass(self.nonlinearity, h, dropout, noise, init=init, remat=remat)
        extended = extend(add_ones_channel(images), self.multiple)
        output = self.walk(run.lazy(extended), run).raw
        if dropout is not None:
            dropout.finish()
        return cut(output, *self.image_shape[:2])

    def initialize(
        self, images: tf.Tensor, labels: tf.Tensor | None = None, seed: Seed = 0
    ) -> None:
        """The data-dependent initialisation, see `data_dependent_init`."""
        data_dependent_init(self, images, labels, seed=seed)

    def draw_noise(self, images: tf.Tensor, seed: Seed | None) -> tf.Tensor:
        """Noise of the energy head, `[10, B, H, W, 4]`: 10 samples per image, as `model_spec`."""
        height, width, _ = self.image_shape
        shape = [NUM_SAMPLES, height, width, NUM_NOISE]
        uniforms = random_uniforms(self.seeds_for(images, seed), shape, NOISE_NUMBER)
        noise = 2.0 * uniforms - 1.0  # [B, 10, H, W, 4]
        return tf.transpose(noise, [1, 0, 2, 3, 4])

    def sample_pixels(
        self,
        images: tf.Tensor,
        labels: tf.Tensor | None,
        uniforms: tf.Tensor,
        quantize: bool = True,
        temperature: float = 1.0,
    ) -> tf.Tensor:
        if not self.energy_distance:
            return super().sample_pixels(images, labels, uniforms, quantize, temperature)
        noise = 2.0 * uniforms - 1.0
        samples = self(images, labels, noise=noise[None])  # [1, B, H, W, C]
        return self.likelihood.sample(samples, None, quantize, temperature)

    def predict_step(self, data):
        """Keras' own; samples of the energy head are transposed to `[B, K, H, W, C]`."""
        output = super().predict_step(data)
        return tf.transpose(output, [1, 0, 2, 3, 4]) if self.energy_distance else output

    def make_cached_sampler(self):
        return CachedSampler(self)

    def get_config(self):
        # Left out at their defaults, so that fingerprints of compressed files stay the same.
        later = {}
        if self.spatial_channels and not self.condition:
            later["spatial_channels"] = self.spatial_channels
        if self.num_stages != PAPER_STAGES:
            later["num_stages"] = self.num_stages
        return super().get_config() | {
            "nr_resnet": self.nr_resnet,
            "nr_filters": self.nr_filters,
            "nr_logistic_mix": self.nr_logistic_mix,
            "resnet_nonlinearity": self.resnet_nonlinearity,
            "dropout_p": self.dropout_p,
            "energy_distance": self.energy_distance,
            "remat": self.remat,
            **later,
        }
