"""What PixelCNN, Row LSTM and Diagonal BiLSTM have in common: Table 1 of the paper.

Van den Oord, Kalchbrenner, Kavukcuoglu 2016, "Pixel Recurrent Neural Networks": a 7x7
convolution of type A, residual blocks, which alone differ, two layers of ReLU and 1x1 convolution,
the softmax. The channels R, G, B see each other in this order, inside the network.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.checks import require_integer
from pixelcnn_tf.layers.heads import SoftmaxHead
from pixelcnn_tf.layers.masked_convolution import MaskedConv2D
from pixelcnn_tf.likelihoods.categorical import Categorical
from pixelcnn_tf.models.base import AutoregressiveModel
from pixelcnn_tf.random import Seed

FIRST_KERNEL = (7, 7)  # of the layer with the mask of type A
PAPER_OUTPUT_FILTERS = 1024  # maps of the two 1x1 layers for CIFAR-10; 32 for MNIST


def check_sizes(channels: int, nr_resnet: int, nr_filters: int, nr_output_filters: int) -> None:
    """Raises ValueError, naming it, for a size that is no integer or too small.

    Maps are divided into one group for each of the image's channels.
    """
    for name, value, least in [
        ("nr_resnet", nr_resnet, 1),
        ("nr_filters", nr_filters, channels),
        ("nr_output_filters", nr_output_filters, channels),
    ]:
        what = " (one map for each channel of the image)" if least > 1 else ""
        require_integer(name, value, least, what)


class ResidualNetwork(AutoregressiveModel):
    """Base of the three models of the paper. The variables exist after construction.

    A subclass defines `make_block()`, one residual block: a layer that maps
    `[B, H, W, 2 * nr_filters]` to the same shape and sees no later sub-pixel.

    Args:
      image_shape: `(H, W, C)`.
      nr_resnet: number of residual blocks.
      nr_filters: h of the paper: the maps inside a block, half of those between the blocks.
      nr_output_filters: maps of the two 1x1 layers before the softmax.
      num_levels: number of levels per channel.

    Raises:
      ValueError: for an argument out of its range.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        nr_resnet: int,
        nr_filters: int = 128,
        nr_output_filters: int = PAPER_OUTPUT_FILTERS,
        num_levels: int = 256,
        **kwargs,
    ):
        super().__init__(image_shape, None, num_levels, **kwargs)
        check_sizes(self.image_shape[-1], nr_resnet, nr_filters, nr_output_filters)
        self.nr_resnet = nr_resnet
        self.nr_filters = nr_filters
        self.nr_output_filters = nr_output_filters
        channels, dtype = self.image_shape[-1], self.dtype_policy
        self.likelihood = Categorical(channels, num_levels)
        self.passes_per_pixel = channels

        self.first = MaskedConv2D(2 * nr_filters, FIRST_KERNEL, "A", channels, dtype=dtype)
        self.first.hidden = False
        self.blocks = tuple(self.make_block() for _ in range(nr_resnet))
        # In the precision of the variables, as that of PixelCNN++.
        self.head = SoftmaxHead(channels, num_levels, nr_output_filters, dtype=self.variable_dtype)
        self.build()

    def make_block(self) -> keras.layers.Layer:
        raise NotImplementedError

    def build(self, *_):
        """Creates every variable, by one pass over an image of one pixel."""
        self.network(tf.zeros([1, 1, 1, self.image_shape[-1]], self.compute_dtype))
        self.built = True

    def network(self, x):
        """Images `[B, H, W, C]` -> parameters `[B, H, W, C * num_levels]`."""
        x = self.first(x)  # [B, H, W, 2 * nr_filters]
        for block in self.blocks:
            x = block(x)
        return self.head(x)

    def call(
        self,
        images: tf.Tensor,
        labels: None = None,
        training: bool = False,
        seed: Seed | None = None,
    ) -> tf.Tensor:
        """The parameters of every sub-pixel's distribution.

        Args:
          images: `[B, H, W, C]`, floats in [-1, 1].
          labels: None: these models have no classes.
          training, seed: for the common interface; nothing here is random.

        Returns:
          `[B, H, W, C * num_levels]`, logits, see `Categorical`.

        Raises:
          ValueError: if images do not fit the model, or labels are given.
        """
        images = tf.cast(self.check_images(images), self.compute_dtype)
        self.conditioning(labels)
        return self.network(images)

    def get_config(self):
        config = super().get_config() | {
            "nr_resnet": self.nr_resnet,
            "nr_filters": self.nr_filters,
            "nr_output_filters": self.nr_output_filters,
        }
        del config["num_classes"]
        return config
