"""`load`: the data set that a `--dataset` names.

A source of data is a file of its own, whose function gives a `Dataset`, and a line here.
"""

from train.config.saved import DataDescription
from train.data.arrays import load_digits, load_npz
from train.data.dataset import Dataset, quantize
from train.data.folder import load_folder
from train.data.tfds_data import describe_tfds, load_tfds
from train.errors import UserError


def load(name: str, data_dir: str = "", num_levels: int = 0) -> Dataset:
    """Loads a data set.

    Args:
      name: "digits", "folder:/path", a path ending in ".npz", or a tfds name.
      data_dir: where tfds data sets are prepared; "" for tfds' default.
      num_levels: quantise the images to so many levels (see `quantize`); 0: leave them.

    Returns:
      `Dataset`.

    Raises:
      UserError: if it cannot be had, or its images are unfit.
    """
    source = _local_source(name)
    dataset = source(name) if source else load_tfds(name, data_dir)
    channels = dataset.image_shape[-1]
    if channels not in (1, 3):
        raise UserError(f"--dataset={name}: images have {channels} channels, must be 1 or 3")
    return quantize(dataset, num_levels) if num_levels else dataset


def _local_source(name):
    """The function that loads a data set of this machine's files, or None for one of tfds."""
    if name == "digits":
        return lambda _: load_digits()
    if name.startswith("folder:"):
        return load_folder
    return load_npz if name.endswith(".npz") else None


def describe(name: str, data_dir: str = "") -> DataDescription:
    """What images a `--dataset` has; data of tfds need not be there (sizes that only the data
    tells are None).

    Raises:
      UserError: as `load`.
    """
    if _local_source(name) is None:
        return DataDescription(*describe_tfds(name, data_dir))
    dataset = load(name)
    return DataDescription(*(getattr(dataset, field) for field in DataDescription._fields))
