"""The base of PixelCNN, Row LSTM and Diagonal BiLSTM (van den Oord, Kalchbrenner, Kavukcuoglu 2016,
"Pixel Recurrent Neural Networks", Table 1).

A 7x7 convolution with a mask of type A, residual blocks, which differ between the models, two
layers of ReLU and 1x1 convolution, and the softmax. Inside the network G depends on R, and B on R
and G.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from pixelcnn_tf.checks import require_integer
from pixelcnn_tf.layers.heads import SoftmaxHead
from pixelcnn_tf.layers.masked_convolution import MaskedConv2D
from pixelcnn_tf.likelihoods.categorical import Categorical
from pixelcnn_tf.models.image_model import AutoregressiveModel
from pixelcnn_tf.random import Seed
from pixelcnn_tf.renamed import renamed

FIRST_KERNEL = (7, 7)  # of the layer with a mask of type A
PAPER_HEAD_FILTERS = 1024  # feature maps of the two 1x1 layers for CIFAR-10; 32 for MNIST


def check_sizes(channels: int, nr_resnet: int, nr_filters: int, num_head_filters: int) -> None:
    """Raises ValueError, naming the argument, unless the sizes are integers and large enough to
    divide the feature maps into one group per channel of the image."""
    for name, value, least in [
        ("nr_resnet", nr_resnet, 1),
        ("nr_filters", nr_filters, channels),
        ("num_head_filters", num_head_filters, channels),
    ]:
        what = " (one feature map per channel of the image)" if least > 1 else ""
        require_integer(name, value, least, what)


@renamed({"nr_output_filters": "num_head_filters"})
class ResidualNetwork(AutoregressiveModel):
    """Base of the three models of the paper. The variables exist after construction.

    A subclass defines `make_block()`, which returns one residual block: a layer that maps
    `[B, H, W, 2 * nr_filters]` to the same shape and does not depend on later sub-pixels.

    Args:
      image_shape: `(H, W, C)`.
      nr_resnet: number of residual blocks.
      nr_filters: h of the paper: feature maps inside a block; there are 2h between the blocks.
      num_head_filters: feature maps of the two 1x1 layers before the softmax.
      num_levels: number of levels per channel.

    Raises:
      ValueError: for an argument out of range.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        nr_resnet: int,
        nr_filters: int = 128,
        num_head_filters: int = PAPER_HEAD_FILTERS,
        num_levels: int = 256,
        **kwargs,
    ):
        super().__init__(image_shape, None, num_levels, **kwargs)
        check_sizes(self.image_shape[-1], nr_resnet, nr_filters, num_head_filters)
        self.nr_resnet = nr_resnet
        self.nr_filters = nr_filters
        self.num_head_filters = num_head_filters
        channels, dtype = self.image_shape[-1], self.dtype_policy
        self.likelihood = Categorical(channels, num_levels)
        self.passes_per_pixel = channels

        self.first = MaskedConv2D(2 * nr_filters, FIRST_KERNEL, "A", channels, dtype=dtype)
        self.first.hidden = False
        self.blocks = tuple(self.make_block() for _ in range(nr_resnet))
        # In the variables' precision, as in PixelCNN++.
        self.head = SoftmaxHead(channels, num_levels, num_head_filters, dtype=self.variable_dtype)
        self.build()

    def make_block(self) -> keras.layers.Layer:
        """Returns a new residual block."""
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
          labels: must be None; these models are unconditional.
          training, seed: not used; these models have no dropout.

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
            "num_head_filters": self.num_head_filters,
        }
        del config["num_classes"]
        return config
