"""PixelCNN++: the six-block U-Net of two streams (paper Figure 2; official `model_spec`)."""

import keras
import tensorflow as tf

from pixelcnn_tf.layers.dropout import Dropout
from pixelcnn_tf.layers.gated_resnet import GatedResnet
from pixelcnn_tf.layers.input_streams import HorizontalInput, VerticalInput
from pixelcnn_tf.layers.nonlinearities import get_nonlinearity
from pixelcnn_tf.layers.recomputation import recomputed
from pixelcnn_tf.layers.shifted_convolutions import (
    DownRightShiftedConv2D,
    DownRightShiftedConv2DTranspose,
    DownShiftedConv2D,
    DownShiftedConv2DTranspose,
    Nin,
)
from pixelcnn_tf.levels import check_num_levels
from pixelcnn_tf.likelihoods.discretized_mix_logistic import DiscretizedMixLogistic
from pixelcnn_tf.likelihoods.energy import NUM_NOISE, NUM_SAMPLES, EnergyDistance, EnergyHead
from pixelcnn_tf.models.base import AutoregressiveModel
from pixelcnn_tf.random import fold_in, uniform_per_example

NUM_STAGES = 3  # resolutions of the U-Net: full, half, quarter
NOISE_SEED = 0x6E6F6973  # folded into an example's seed for the energy head's noise


@keras.saving.register_keras_serializable("pixelcnn_tf")
class MixtureHead(keras.layers.Layer):
    """`nin(elu(ul))`: `[B, H, W, nr_filters]` -> the parameters of every pixel's mixture."""

    def __init__(self, num_parameters, **kwargs):
        super().__init__(**kwargs)
        self.num_parameters = num_parameters
        self.nin = Nin(num_parameters, dtype=self.dtype_policy, name="nin")

    def call(self, ul, init=False):
        return self.nin(tf.nn.elu(ul), init=init)

    def get_config(self):
        return super().get_config() | {"num_parameters": self.num_parameters}


@keras.saving.register_keras_serializable("pixelcnn_tf")
class PixelCNNPlusPlus(AutoregressiveModel):
    """PixelCNN++ (Salimans et al., ICLR 2017). The variables exist after construction.

    Args:
      image_shape: `(H, W, C)`; H and W divisible by 4, C 1 or 3.
      nr_resnet: residual blocks in each of the six stages.
      nr_filters: channels of the network.
      nr_logistic_mix: components of the mixture at every pixel.
      resnet_nonlinearity: "concat_elu", "elu" or "relu".
      dropout_p: dropout after the inner nonlinearity of every residual block.
      num_classes: classes of a class-conditional model, or None.
      energy_distance: give samples for the energy distance instead of a mixture.
      num_levels: number of levels per channel.

    Raises:
      ValueError: for an argument out of its range.

    Example:
      >>> model = PixelCNNPlusPlus((32, 32, 3), nr_resnet=1, nr_filters=8)
      >>> images = tf.zeros([2, 32, 32, 3])
      >>> model(images).shape
      TensorShape([2, 32, 32, 100])
    """

    def __init__(
        self,
        image_shape,
        nr_resnet=5,
        nr_filters=160,
        nr_logistic_mix=10,
        resnet_nonlinearity="concat_elu",
        dropout_p=0.5,
        num_classes=None,
        energy_distance=False,
        num_levels=256,
        **kwargs,
    ):
        super().__init__(image_shape, num_classes, check_num_levels(num_levels), **kwargs)
        height, width, channels = self.image_shape
        multiple = 2 ** (NUM_STAGES - 1)
        if height % multiple or width % multiple:
            raise ValueError(
                f"image_shape={self.image_shape}: height and width must be divisible by "
                f"{multiple}, because the network halves the image {NUM_STAGES - 1} times"
            )
        if channels not in (1, 3):
            raise ValueError(f"image_shape={self.image_shape}: images must have 1 or 3 channels")
        for name, value in [
            ("nr_resnet", nr_resnet),
            ("nr_filters", nr_filters),
            ("nr_logistic_mix", nr_logistic_mix),
        ]:
            if int(value) != value or value < 1:
                raise ValueError(f"{name}={value!r}: must be an integer of at least 1")
        if not 0.0 <= dropout_p < 1.0:
            raise ValueError(f"dropout_p={dropout_p!r}: must be at least 0 and below 1")
        get_nonlinearity(resnet_nonlinearity)

        self.nr_resnet = nr_resnet
        self.nr_filters = nr_filters
        self.nr_logistic_mix = nr_logistic_mix
        self.resnet_nonlinearity = resnet_nonlinearity
        self.dropout_p = dropout_p
        self.energy_distance = energy_distance
        if energy_distance:
            self.likelihood = EnergyDistance(num_levels)
        else:
            self.likelihood = DiscretizedMixLogistic(nr_logistic_mix, channels, num_levels)
        self._make_layers()
        self.build()

    def _make_layers(self):
        filters, dtype = self.nr_filters, self.dtype_policy

        def resnets(stream, auxiliary, count):
            return tuple(
                GatedResnet(
                    filters,
                    stream,
                    self.resnet_nonlinearity,
                    auxiliary=auxiliary,
                    num_conditions=self.num_classes,
                    dtype=dtype,
                )
                for _ in range(count)
            )

        up_counts = [self.nr_resnet] * NUM_STAGES
        down_counts = [self.nr_resnet] + [self.nr_resnet + 1] * (NUM_STAGES - 1)
        halvings = range(NUM_STAGES - 1)

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
        # The head computes in the variables' precision: 8 bits of bfloat16 are coarser than the
        # levels that its outputs tell apart.
        dtype = self.variable_dtype
        if self.energy_distance:
            self.head = EnergyHead(self.image_shape[-1], dtype=dtype)
        else:
            self.head = MixtureHead(self.likelihood.num_parameters, dtype=dtype)

    def build(self, *_):
        """Creates every variable, by one pass over the smallest image the network takes."""
        side = 2 ** (NUM_STAGES - 1)
        dtype = self.compute_dtype
        image = tf.zeros([1, side, side, self.image_shape[-1] + 1], dtype)
        h = None if self.num_classes is None else tf.zeros([1, self.num_classes], dtype)
        self.walk(image, ImagePass(h, noise=tf.zeros([1, side, side, NUM_NOISE], dtype)))
        self.built = True

    def walk(self, image, run):
        """The network, once, for whoever walks it: training, init, naming, samplers.

        `u` is the vertical stream (all above), `ul` the horizontal one (above and to the
        left), as in the official code.

        Args:
          image: what `run` takes as the image with its channel of ones.
          run: `run(layer, x, a=None)` applies one layer; `a` is the auxiliary input of a
            gated residual block, a tuple of what `run` returned before.

        Returns:
          What `run` returns for the head.
        """
        # Up pass: each stage's outputs are kept for the down pass.
        u = run(self.u_input, image)
        ul = run(self.ul_input, image)
        u_skips, ul_skips = [u], [ul]
        for stage in range(NUM_STAGES):
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
        for stage in range(NUM_STAGES):
            if stage > 0:
                u = run(self.u_double[stage - 1], u)
                ul = run(self.ul_double[stage - 1], ul)
            for u_resnet, ul_resnet in zip(self.u_down[stage], self.ul_down[stage], strict=True):
                u = run(u_resnet, u, (u_skips.pop(),))
                ul = run(ul_resnet, ul, (u, ul_skips.pop()))
        assert not u_skips and not ul_skips
        return run(self.head, ul)

    def call(self, images, labels=None, training=False, seed=None, dropout_masks=None, noise=None):
        """The parameters of every pixel's distribution.

        Args:
          images: `[B, H, W, C]`, floats in [-1, 1].
          labels: classes `[B]` (or vectors `[B, num_classes]`) of a conditional model.
          training: apply dropout.
          seed: for dropout and the energy head's noise: `[B, 2]` int32 (one seed an example),
            or one int or `[2]` for the batch; None draws from TensorFlow's global generator.
          dropout_masks: instead of random ones: 0/1 arrays, one for each gated residual block
            in call order; implies `training`.
          noise: instead of random noise for the energy head, `[K, B, H, W, 4]` in [-1, 1], or
            `[K * B, H, W, 4]` as in the official code.

        Returns:
          `[B, H, W, 10 * nr_logistic_mix]` for 3 channels, `[B, H, W, 3 * nr_logistic_mix]`
          for one (see `split_parameters`); with `energy_distance` samples `[K, B, H, W, C]`,
          K = 10 unless `noise` says otherwise.

        Raises:
          ValueError: if images or labels do not fit the model.
        """
        images = tf.cast(self.check_images(images), self.compute_dtype)
        h = self.conditioning(labels)
        dropout = None
        if dropout_masks is not None:
            dropout = Dropout(self.dropout_p, masks=dropout_masks)
        elif training and self.dropout_p > 0:
            seed = self.seeds_for(images, seed)
            dropout = Dropout(self.dropout_p, seeds=seed)
        if self.energy_distance and noise is None:
            noise = self.draw_noise(images, seed)
        remat = self.remat and training
        output = self.walk(add_ones_channel(images), ImagePass(h, dropout, noise, remat=remat))
        if dropout is not None:
            dropout.finish()
        return output

    def initialize(self, images, labels=None, seed=0):
        """The data-dependent initialisation, see `data_dependent_init`."""
        from pixelcnn_tf.models.initialization import data_dependent_init  # it imports this file

        data_dependent_init(self, images, labels, seed=seed)

    def draw_noise(self, images, seed):
        """Noise of the energy head, `[10, B, H, W, 4]`: 10 samples an image, as `model_spec`."""
        height, width, _ = self.image_shape
        seeds = fold_in(self.seeds_for(images, seed), NOISE_SEED)
        shape = [NUM_SAMPLES, height, width, NUM_NOISE]
        noise = uniform_per_example(seeds, shape, -1.0, 1.0)  # [B, 10, H, W, 4]
        return tf.transpose(noise, [1, 0, 2, 3, 4])

    def sample_pixels(self, images, labels, uniforms, quantize=True, temperature=1.0):
        if not self.energy_distance:
            return super().sample_pixels(images, labels, uniforms, quantize, temperature)
        noise = 2.0 * uniforms - 1.0
        samples = self(images, labels, noise=noise[None])  # [1, B, H, W, C]
        return self.likelihood.sample(samples, None, quantize, temperature)

    def make_cached_sampler(self):
        from pixelcnn_tf.sampling.pixelcnn_pp import CachedSampler  # it imports this file

        return CachedSampler(self)

    def get_config(self):
        return super().get_config() | {
            "nr_resnet": self.nr_resnet,
            "nr_filters": self.nr_filters,
            "nr_logistic_mix": self.nr_logistic_mix,
            "resnet_nonlinearity": self.resnet_nonlinearity,
            "dropout_p": self.dropout_p,
            "energy_distance": self.energy_distance,
        }


def add_ones_channel(images):
    """Appends the channel of ones that tells the image from its padding (`model_spec`)."""
    return tf.concat([images, tf.ones_like(images[..., :1])], axis=-1)


class ImagePass:
    """Walks the network over whole images: the `run` of `PixelCNNPlusPlus.walk`.

    Args:
      h: conditioning vector `[B, num_classes]`, or None.
      dropout: a `Dropout`, or None.
      noise: noise of the energy head, or None.
      init: run the data-dependent initialisation of each layer before it is applied.
      remat: keep only the inputs of each gated residual block for the backward pass, which
        computes its inside again.
    """

    def __init__(self, h=None, dropout=None, noise=None, init=False, remat=False):
        self.h = h
        self.dropout = dropout
        self.noise = noise
        self.init = init
        self.remat = remat

    def __call__(self, layer, x, a=None):
        if isinstance(layer, GatedResnet):
            dropout = None if self.dropout is None else self.dropout.block()
            if self.remat:
                return recomputed(layer, dropout, x, a, self.h)
            return layer(x, a=a, h=self.h, dropout=dropout, init=self.init)
        if isinstance(layer, EnergyHead):
            return layer(x, noise=self.noise, init=self.init)
        return layer(x, init=self.init)
