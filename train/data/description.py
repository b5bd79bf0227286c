"""What a model must know of its data. Imports no TensorFlow."""

from typing import NamedTuple


class DataDescription(NamedTuple):
    """What a model must know of its data; a `Dataset` has the same attributes.

    Attributes:
      image_shape: `(H, W, C)`.
      num_levels: levels per channel; images hold 0 ... num_levels - 1.
      num_classes: number of classes, or None without labels.
      fingerprint: of the VQ-VAE whose codes the images are, or "".
    """

    image_shape: tuple[int, int, int]
    num_levels: int
    num_classes: int | None
    fingerprint: str = ""
