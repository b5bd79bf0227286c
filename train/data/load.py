"""`load`: the data set that a `--dataset` names.

A source of data is a file of its own, whose function gives a `Dataset`, and a line here.
"""

import numpy as np

from train.config.config import CODES, Config
from train.data import checks
from train.data.arrays import load_digits, load_npz
from train.data.augmentation import Augmentation
from train.data.codes import load_codes
from train.data.dataset import Dataset, quantize
from train.data.decode import resize
from train.data.description import DataDescription
from train.data.folder import load_folder
from train.data.options import DEFAULTS, DataOptions, size_text
from train.data.splits import ArraySplit, Split
from train.data.tfds_data import describe_tfds, load_tfds
from train.errors import ArgumentError, UserError


def load(name: str, data_dir: str = "", options: DataOptions = DEFAULTS) -> Dataset:
    """Loads a data set.

    Args:
      name: "digits", "folder:/path", a path ending in ".npz", "codes:<workdir>", or a tfds name.
      data_dir: where tfds data sets are prepared; "" for tfds' default.
      options: what is done to the images, see `DataOptions`.

    Returns:
      `Dataset`.

    Raises:
      UserError: if it cannot be loaded, or its images are unfit.
    """
    for flag in ("alpha", "skip_broken"):
        if getattr(options, flag) and not name.startswith("folder:"):
            raise UserError(f"--{flag} is for --dataset=folder:..., not for --dataset={name}")
    source = _local_source(name)
    dataset = source(name, options) if source else load_tfds(name, data_dir, options=options)
    channels = dataset.image_shape[-1]
    if channels not in (1, 3):
        raise ArgumentError("dataset", name, f"images have {channels} channels, must be 1 or 3")
    checks.check_not_constant(dataset)
    warnings = list(dataset.warnings) + checks.label_warnings(dataset)
    if options.num_levels:
        dataset = checks.declare_levels(dataset, options.num_levels)
    elif not options.quantize:
        warnings += checks.few_levels_warning(dataset)
    if options.resize:
        dataset = _resized(dataset, options.resize)
    if options.crop:
        dataset = _cropped(dataset, options.crop)
    if options.quantize:
        before, dataset = dataset, quantize(dataset, options.quantize)
        checks.check_not_constant_after(dataset, before)
    return _augmented(dataset, options)._replace(warnings=tuple(warnings))


def load_configured(config: Config) -> Dataset:
    """`load` with the options of a checked configuration."""
    dataset = load(config.dataset, config.data_dir, DataOptions.of(config))
    if not config.condition:
        return dataset
    return dataset._replace(benchmark="").add_note(
        f"bits/dim given the condition {config.condition}: not comparable with results without it"
    )


def _resized(dataset, size):
    """Resizes what the source has not resized itself."""

    def function(split: Split):
        if split.image_shape[:2] == size or not isinstance(split, ArraySplit):
            return split
        images = [resize(image, size, dataset.num_levels) for image in split.images]
        return ArraySplit(np.stack(images), split.labels)

    resized = dataset.map_splits(function)
    resized = resized._replace(image_shape=resized.train.image_shape, benchmark="")
    return resized.add_note(f"bits/dim refer to images resized to {size_text(size)}")


def _cropped(dataset, size):
    """Crops what the source has not cropped itself."""
    height, width, channels = dataset.image_shape
    if height < size[0] or width < size[1]:
        raise ArgumentError(
            "crop",
            size_text(size),
            f"the images of --dataset={dataset.name} are "
            f"{height}x{width}; a crop is at most as large",
        )
    if (height, width) == size and not isinstance(dataset.train, ArraySplit):
        cropped = dataset  # by its source, since its images differ in size
    else:
        cropped = dataset.map_splits(lambda split: split.crop(size))
    return cropped._replace(image_shape=(*size, channels), benchmark="").add_note(
        f"scored on the central {size_text(size)} of each image"
    )


def _augmented(dataset, options):
    """Lets the splits draw anew what is to be drawn anew."""
    num_levels = dataset.num_levels
    if options.binarize:
        if num_levels == 2:
            raise ArgumentError(
                "binarize",
                options.binarize,
                f"the images of --dataset={dataset.name} have 2 levels already; leave it out",
            )
        dataset = dataset._replace(num_levels=2, benchmark="").add_note(
            "binarised dynamically, by one fixed draw for scoring: not comparable with results on "
            "the fixed binarisation (binarized_mnist) or on grey levels"
        )
    augmentation = Augmentation(
        num_levels if options.binarize else 0,
        options.random_flip,
        options.mutation_rate,
        dataset.num_levels,
    )
    return dataset.map_splits(lambda split: split.with_augmentation(augmentation))


def _local_source(name):
    """The function that loads a data set of this machine's files, or None for one of tfds."""
    if name == "digits":
        return lambda _, options: load_digits(options)
    if name.startswith(CODES):
        return load_codes
    if name.startswith("folder:"):
        return load_folder
    return load_npz if name.endswith(".npz") else None


def describe(name: str, data_dir: str = "") -> DataDescription:
    """What images a `--dataset` has; data of tfds need not be there (sizes that only the data
    has are None).

    Raises:
      UserError: as `load`.
    """
    if _local_source(name) is None:
        return DataDescription(*describe_tfds(name, data_dir))
    dataset = load(name)
    return DataDescription(*(getattr(dataset, field) for field in DataDescription._fields))
