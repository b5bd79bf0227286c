"""Gated PixelCNN (van den Oord et al. 2016b, "Conditional Image Generation with PixelCNN
Decoders").
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.checks import require_bool, require_integer
from pixelcnn_tf.layers.heads import SoftmaxHead
from pixelcnn_tf.layers.masked_convolution import MaskedConv2D
from pixelcnn_tf.layers.shifted_convolutions import down_shift
from pixelcnn_tf.levels import input_to_levels
from pixelcnn_tf.likelihoods.categorical import Categorical
from pixelcnn_tf.models.image_model import AutoregressiveModel
from pixelcnn_tf.models.residual_network import (
    FIRST_KERNEL,
    PAPER_HEAD_FILTERS,
    check_sizes,
)
from pixelcnn_tf.random import Seed
from pixelcnn_tf.renamed import renamed
from pixelcnn_tf.sampling.gated_pixelcnn import GatedCachedSampler


def gate(x):
    """`tanh(a) * sigmoid(b)` of the two halves of `[..., 2 * F]`: `[..., F]` (equation 2)."""
    a, b = tf.split(x, 2, axis=-1)
    return tf.tanh(a) * tf.sigmoid(b)


@keras.saving.register_keras_serializable("pixelcnn_tf")
class GatedLayer(keras.layers.Layer):
    """One layer of the network, both stacks (Figure 2).

    The vertical stack sees whole rows. The horizontal stack sees the pixels to the left and,
    through a 1x1 convolution, the vertical stack's features one row up: together all previous
    pixels, without a blind spot. Only the horizontal stack has a residual connection, except in the
    first layer, whose mask is of type A. Only the horizontal stack distinguishes R, G and B: its
    input from the vertical stack comes from the rows above.

    Args:
      filters: p, feature maps of each stack.
      kernel_size: n, odd: n x n without its lower half in the vertical stack, 1 x n in the
        horizontal one.
      first: whether this is the layer on the image.
      last: whether this is the last layer, whose vertical stack has no output.
      groups: channels of the image.
      conditional: whether a condition is added in the gates.
    """

    def __init__(
        self, filters, kernel_size, first=False, last=False, groups=1, conditional=False, **kwargs
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.half = kernel_size // 2
        self.first = first
        self.last = last
        self.groups = groups
        self.conditional = conditional
        dtype = self.dtype_policy

        def masked(filters, columns, name, **options):
            options |= dict(groups=groups, dtype=dtype, name=name)
            return MaskedConv2D(filters, (1, columns), **options)

        def condition(name):  # V^T h for a vector, the 1x1 convolution V * s for a map
            return keras.layers.Dense(2 * filters, use_bias=False, dtype=dtype, name=name)

        self.vertical_conv = keras.layers.Conv2D(
            2 * filters, (self.half + 1, kernel_size), dtype=dtype, name="vertical_conv"
        )
        self.vertical_to_horizontal = keras.layers.Conv2D(
            2 * filters, 1, dtype=dtype, name="to_horizontal"
        )
        self.horizontal_conv = masked(
            2 * filters, kernel_size, "horizontal_conv", mask_type="A" if first else "B", parts=2
        )
        self.horizontal_conv.hidden = not first
        self.horizontal_out = masked(filters, 1, "horizontal_out")
        self.condition_horizontal = condition("condition_horizontal") if conditional else None
        self.condition_vertical = (
            condition("condition_vertical") if conditional and not last else None
        )

    def call(self, vertical, horizontal, h=None):
        """Runs the layer.

        Args:
          vertical, horizontal: the stacks, `[B, H, W, filters]`; the image in the first layer.
          h: the condition, `[B, 1, 1, D]` (a vector) or `[B, H, W, D]` (a map), or None.

        Returns:
          `(vertical, horizontal)`, each `[B, H, W, filters]`; the first is None in the last
          layer.
        """
        padded = tf.pad(vertical, [[0, 0], [self.half, 0], [0, 0], [0, 0]])
        features = self.vertical_features(padded)
        # The features of a row depend on that row, so the row below receives them.
        from_vertical = self.horizontal_bias(down_shift(features), h)
        return (
            self.vertical_output(features, h),
            self.horizontal_output(horizontal, self.horizontal_conv(horizontal) + from_vertical),
        )

    # The parts of a layer, which the cached sampler combines for a row and for a pixel.

    @property
    def to_horizontal(self):
        """The name of the layer in files of Keras."""
        return self.vertical_to_horizontal

    def vertical_features(self, vertical):
        """Features `[..., 2 p]` of rows of the vertical stack, given with `half` rows above."""
        return self.vertical_conv(tf.pad(vertical, [[0, 0], [0, 0], [self.half] * 2, [0, 0]]))

    def horizontal_bias(self, features, h):
        """What the vertical features one row up, and the condition, add in the horizontal gates."""
        x = self.vertical_to_horizontal(features)
        return x if h is None else x + self.condition_horizontal(h)

    def vertical_output(self, features, h):
        """The vertical stack after this layer; None after the last layer."""
        if self.last:
            return None
        return gate(features if h is None else features + self.condition_vertical(h))

    def horizontal_output(self, horizontal, x):
        """The horizontal stack after this layer, given `x`, the input of its gates."""
        x = self.horizontal_out(gate(x))
        return x if self.first else horizontal + x

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "first": self.first,
            "last": self.last,
            "groups": self.groups,
            "conditional": self.conditional,
        }


@keras.saving.register_keras_serializable("pixelcnn_tf")
@renamed({"nr_output_filters": "num_head_filters"})
class GatedPixelCNN(AutoregressiveModel):
    """Gated PixelCNN. The variables exist after construction.

    Args:
      image_shape: `(H, W, C)`.
      nr_resnet: number of layers after the first one.
      nr_filters: p of the paper: feature maps of each stack.
      num_head_filters: feature maps of the two 1x1 layers before the softmax.
      kernel_size: n of all layers after the first, where it is 7.
      num_classes: length of the conditioning vector h (one-hot classes, or any vector of floats),
        or None.
      spatial_channels: channels D of a conditioning map `[B, H, W, D]` instead of a vector, or
        None. To use both, repeat the vector over the map.
      condition: a condition computed from the image itself (`pixelcnn_tf.conditions`): "grey" or
        "small:N" for maps; a Keras model from images to vectors, which is not trained; or None.
      input_embedding: treat the levels as codes without an order: the network's input is a learned
        embedding of `nr_filters` numbers per code instead of the value.
      num_levels: number of levels per channel, or of codes.

    Raises:
      ValueError: for an argument out of range.

    Example:
      >>> model = GatedPixelCNN((8, 8, 1), nr_resnet=2, nr_filters=8, num_head_filters=16)
      >>> model(tf.zeros([2, 8, 8, 1])).shape
      TensorShape([2, 8, 8, 256])
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        nr_resnet: int = 20,
        nr_filters: int = 384,
        num_head_filters: int = PAPER_HEAD_FILTERS,
        kernel_size: int = 5,
        num_classes: int | None = None,
        spatial_channels: int | None = None,
        input_embedding: bool = False,
        num_levels: int = 256,
        condition: str | keras.Model | None = None,
        **kwargs,
    ):
        super().__init__(image_shape, num_classes, num_levels, **kwargs)
        check_sizes(self.image_shape[-1], nr_resnet, nr_filters, num_head_filters)
        if require_integer("kernel_size", kernel_size, 1, ", odd") % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size!r}: must be odd")
        require_bool("input_embedding", input_embedding)
        self.set_condition(condition, spatial_channels)
        self.nr_resnet = nr_resnet
        self.nr_filters = nr_filters
        self.num_head_filters = num_head_filters
        self.kernel_size = kernel_size
        self.input_embedding = input_embedding
        channels, dtype = self.image_shape[-1], self.dtype_policy
        self.likelihood = Categorical(channels, num_levels)
        self.passes_per_pixel = channels
        self.input_channels = channels * nr_filters if input_embedding else channels

        def layer(size, **place):
            conditional = self.num_conditions is not None
            return GatedLayer(
                nr_filters, size, groups=channels, conditional=conditional, dtype=dtype, **place
            )

        self.embedding = (
            keras.layers.Embedding(num_levels, nr_filters, dtype=dtype) if input_embedding else None
        )
        self.gated_layers = (
            layer(FIRST_KERNEL[0], first=True),
            *(layer(kernel_size) for _ in range(nr_resnet - 1)),
            layer(kernel_size, last=True),
        )
        # In the variables' precision, as in PixelCNN++.
        self.head = SoftmaxHead(channels, num_levels, num_head_filters, dtype=self.variable_dtype)
        self.build()

    def build(self, *_):
        """Creates every variable, by one pass over an image of one pixel."""
        conditions = self.num_conditions
        h = tf.zeros([1, 1, 1, conditions], self.compute_dtype) if conditions else None
        self.network(tf.zeros([1, 1, 1, self.image_shape[-1]]), h)
        self.built = True

    def network(self, images: tf.Tensor, h: tf.Tensor | None = None) -> tf.Tensor:
        """Images `[B, H, W, C]` -> parameters `[B, H, W, C * num_levels]`.

        Args:
          images: floats in [-1, 1].
          h: the condition `[B, 1, 1, D]` or `[B, H, W, D]`, or None.
        """
        return self.walk(
            self.network_input(images),
            lambda layer, vertical, horizontal: layer(vertical, horizontal, h),
        )

    def walk(self, x, run: Callable):
        """Runs the layers in order: the only definition of the network's topology, used for whole
        images and by the cached sampler.

        Args:
          x: the input of both stacks, of any type that `run` accepts.
          run: `run(layer, vertical, horizontal)` applies one layer to both stacks and returns
            them; a stack may be None.

        Returns:
          The head's output, or None if `run` returns no horizontal stack.
        """
        vertical, horizontal = x, x
        for layer in self.gated_layers:
            vertical, horizontal = run(layer, vertical, horizontal)
        return None if horizontal is None else self.head(horizontal)

    def network_input(self, images: tf.Tensor) -> tf.Tensor:
        """The first layer's input for images `[B, H, W, C]`: their values, or the embeddings of all
        channels' codes, concatenated, `[B, H, W, C * p]`."""
        if not self.input_embedding:
            return tf.cast(images, self.compute_dtype)
        codes = self.embedding(input_to_levels(images, self.num_levels))  # [B, H, W, C, p]
        shape = tf.concat([tf.shape(codes)[:3], [self.input_channels]], axis=0)
        return tf.ensure_shape(tf.reshape(codes, shape), [*codes.shape[:3], self.input_channels])

    def make_cached_sampler(self):
        return GatedCachedSampler(self)

    def call(
        self,
        images: tf.Tensor,
        labels: tf.Tensor | None = None,
        training: bool = False,
        seed: Seed | None = None,
    ) -> tf.Tensor:
        """The parameters of every sub-pixel's distribution.

        Args:
          images: `[B, H, W, C]`, floats in [-1, 1].
          labels: the condition: classes `[B]`, vectors `[B, num_classes]` or maps
            `[B, H, W, spatial_channels]`; None for an unconditional model, or to compute the
            model's `condition` from the images.
          training, seed: not used; the model has no dropout.

        Returns:
          `[B, H, W, C * num_levels]`, logits, see `Categorical`.

        Raises:
          ValueError: if images or labels do not fit the model.
        """
        images = self.check_images(images)
        labels = self.compute_condition(images) if labels is None else labels
        h = self.conditioning(labels, images.shape[0])
        if h is not None and h.shape.rank == 2:
            h = h[:, None, None, :]
        return self.network(images, h)

    def get_config(self):
        return super().get_config() | {
            "nr_resnet": self.nr_resnet,
            "nr_filters": self.nr_filters,
            "num_head_filters": self.num_head_filters,
            "kernel_size": self.kernel_size,
            "spatial_channels": None if self.condition else self.spatial_channels,
            "input_embedding": self.input_embedding,
        }
