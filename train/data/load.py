"""`load`: the data set that a `--dataset` names.

A source of data is a file of its own, whose function gives a `Dataset`, and a line here.
"""

from train.data.arrays import load_digits, load_npz
from train.data.dataset import quantize
from train.data.folder import load_folder
from train.data.tfds_data import load_tfds
from train.errors import UserError


def load(name, data_dir="", num_levels=0):
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
    if name == "digits":
        dataset = load_digits()
    elif name.startswith("folder:"):
        dataset = load_folder(name)
    elif name.endswith(".npz"):
        dataset = load_npz(name)
    else:
        dataset = load_tfds(name, data_dir)
    channels = dataset.image_shape[-1]
    if channels not in (1, 3):
        raise UserError(f"--dataset={name}: images have {channels} channels, must be 1 or 3")
    return quantize(dataset, num_levels) if num_levels else dataset
