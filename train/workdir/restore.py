"""A trained model from a run's folder."""

from train.config import saved as configuration
from train.config.fields import Config
from train.config.models import make_model
from train.config.saved import DataDescription
from train.data.dataset import Dataset
from train.data.load import load_configured
from train.errors import UserError
from train.workdir.checkpoints import Checkpoints

MAX_SIDE = 2**14  # pixels of height or width; a larger one is a slip


def load_run(workdir: str) -> tuple:
    """Reads a run: its configuration and newest checkpoint. Its data set is not needed.

    Args:
      workdir: the run's folder.

    Returns:
      `(config, model, averaged_model, step)`.

    Raises:
      UserError: if there is no run or no readable checkpoint.
    """
    config, description, *_ = configuration.require_run(workdir)
    model, averaged_model = make_model(config, description), make_model(config, description)
    step = Checkpoints(workdir, model, averaged_model).restore_latest()
    if step is None:
        raise UserError(f"--workdir={workdir}: the run has no checkpoint yet")
    return config, model, averaged_model, step


def at_size(model, height: int, width: int):
    """The model at the size that the flags `--height` and `--width` ask for.

    Args:
      model: an `AutoregressiveModel`.
      height, width: 0: as trained.

    Raises:
      UserError: for a size that is none.
    """
    for name, value in (("height", height), ("width", width)):
        if not 0 <= value <= MAX_SIDE:
            raise UserError(f"--{name}={value}: must be from 1 to {MAX_SIDE}, or 0: as trained")
    trained = model.image_shape
    return model.at_size(height or trained[0], width or trained[1])


def load_data(config: Config, data_dir: str = "", any_size: bool = False) -> Dataset:
    """The data set of a run, which must be of the kind that its model was made for.

    Args:
      config: the run's `Config`, perhaps with another data set.
      data_dir: where its tfds data is, if elsewhere than in training.
      any_size: its images may have another size.

    Raises:
      UserError: if it cannot be had or is of another kind.
    """
    dataset = load_configured(config, data_dir)
    kind = DataDescription(*(getattr(dataset, field) for field in DataDescription._fields))
    if any_size:
        kind = kind._replace(image_shape=(None, None, kind.image_shape[-1]))
    configuration.refuse_other_data(configuration.load(config.workdir), config, kind)
    return dataset
