"""Adapts images to the channels, levels and labels of a run."""

import collections

import numpy as np

from pixelcnn_tf.levels import dtype_of_levels, quantize_levels
from train.data.image_sources import Image, Images
from train.errors import UserError


class ImageAdapter:
    """Gives images the channels, levels and labels that a run's model takes.

    A run with `--quantize` quantises images as it did its training images; one with `--num_levels`
    takes the values of 8-bit images as its levels. Grey images become RGB for a model of RGB.

    Args:
      run: a `train.run.Run`.
      label: the class of all images; None: their own.

    Attributes:
      conversions: what was done -> to how many images.
    """

    def __init__(self, run, label: int | None = None):
        self.channels = run.data.image_shape[-1]
        self.num_levels = run.data.num_levels
        self.quantizes = run.config.quantize > 0
        self.takes_codes = bool(run.data.fingerprint) or run.config.input_embedding
        self.declares_levels = run.config.num_levels > 0
        self.fingerprint = run.data.fingerprint
        self.num_classes = run.data.num_classes if run.config.class_conditional else None
        self.run = f"the run in {run.workdir}"
        self.label = label
        self.conversions = collections.Counter()

    def check_source(self, images: Images) -> None:
        """Raises UserError for codes of another VQ-VAE than the run's, and for images where the run
        takes codes."""
        found = images.fingerprint
        if self.fingerprint and not found and not images.from_arrays:
            raise UserError(
                f"{images.flag}: has images, but {self.run} models the codes of a VQ-VAE; give "
                "codes:<workdir of the VQ-VAE>, or an .npz of codes"
            )
        if found and found != self.fingerprint:
            expected = f"codes of {self.fingerprint}" if self.fingerprint else "images"
            raise UserError(
                f"{images.flag}: has codes of a VQ-VAE with the fingerprint {found}, but "
                f"{self.run} models {expected}"
            )

    def __call__(self, image: Image, flag: str) -> Image:
        """The image as the model takes it.

        Args:
          image: as it was found.
          flag: flag and value that name its source, for messages.

        Raises:
          UserError: naming source and image, if it is of another kind.
        """
        where = f"{flag}: {image.name}"
        levels = self.with_levels(where, self._with_channels(where, image.levels), image.num_levels)
        return Image(image.name, levels, self.num_levels, self._label(where, image.label))

    def _with_channels(self, where, levels):
        channels = levels.shape[-1]
        if channels == self.channels:
            return levels
        if channels == 1:
            self.conversions[f"grey, taken as {self.channels} equal channels"] += 1
            return np.repeat(levels, self.channels, axis=-1)
        raise UserError(
            f"{where}: the image has {channels} channels, but {self.run} expects {self.channels}"
        )

    def with_levels(self, where: str, levels: np.ndarray, num_levels: int | None) -> np.ndarray:
        """Integers of `num_levels` levels (None: unknown) as levels of the run.

        Raises:
          UserError: beginning with `where`, if they are of another kind.
        """
        if num_levels is None and not self.quantizes:
            num_levels = self.num_levels  # codes, for instance, of which one image has not all
        if num_levels is None:
            raise UserError(
                f"{where}: the number of its levels is unknown, but {self.run} quantises to "
                f"{self.num_levels}; add an array num_levels to the file"
            )
        lowest, highest = int(levels.min()), int(levels.max())
        if lowest < 0 or highest >= num_levels:
            raise UserError(
                f"{where}: levels must be integers in [0, {num_levels - 1}], got {lowest} to "
                f"{highest}"
            )
        if num_levels == self.num_levels:
            return levels
        spread = num_levels < self.num_levels and (self.num_levels - 1) % (num_levels - 1) == 0
        if spread and not self.takes_codes:
            # As a folder of both kinds is read: 1-bit files beside 8-bit ones.
            self.conversions[f"of {num_levels} levels, spread over {self.num_levels}"] += 1
            dtype = dtype_of_levels(self.num_levels)
            return levels.astype(dtype) * dtype.type((self.num_levels - 1) // (num_levels - 1))
        if self.declares_levels and num_levels == 256 and highest < self.num_levels:
            self.conversions[
                f"of 8 bits, their values taken as levels 0 to {self.num_levels - 1}"
            ] += 1
            return levels
        if not self.quantizes or num_levels < self.num_levels:
            raise UserError(
                f"{where} has {num_levels} levels per channel, {self.run} has {self.num_levels}"
            )
        self.conversions[f"quantised from {num_levels} to {self.num_levels} levels"] += 1
        return quantize_levels(levels, num_levels, self.num_levels)

    def _label(self, where, label):
        label = label if self.label is None else self.label
        if self.num_classes is None:  # a background model may need it
            return label
        return require_label(where, label, self.num_classes, self.run)


def require_label(where: str, label: int | None, num_classes: int, run: str) -> int:
    """The label of an image for a class-conditional run.

    Raises:
      UserError: beginning with `where`, if there is none, or no such class.
    """
    if label is None:
        raise UserError(
            f"{where} has no label, but {run} is class-conditional; give --label, or an .npz with "
            "labels"
        )
    if not 0 <= label < num_classes:
        raise UserError(f"{where} has label {label}, must be from 0 to {num_classes - 1}")
    return label
