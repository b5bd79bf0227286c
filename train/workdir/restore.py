"""A trained model from a run's folder."""

from train.config import saved as configuration
from train.config.fields import Config
from train.config.models import make_model
from train.data.dataset import Dataset
from train.data.load import load_configured
from train.errors import UserError
from train.workdir.checkpoints import Checkpoints


def load_run(workdir: str) -> tuple:
    """Reads a run: its configuration and newest checkpoint. Its data set is not needed.

    Args:
      workdir: the run's folder.

    Returns:
      `(config, model, averaged_model, step)`.

    Raises:
      UserError: if there is no run or no readable checkpoint.
    """
    config, description, _ = configuration.require_run(workdir)
    model, averaged_model = make_model(config, description), make_model(config, description)
    step = Checkpoints(workdir, model, averaged_model).restore_latest()
    if step is None:
        raise UserError(f"--workdir={workdir}: the run has no checkpoint yet")
    return config, model, averaged_model, step


def load_data(config: Config, data_dir: str = "") -> Dataset:
    """The data set of a run, which must be of the kind that its model was made for.

    Args:
      config: the run's `Config`.
      data_dir: where its tfds data is, if elsewhere than in training.

    Raises:
      UserError: if it cannot be had or is of another kind.
    """
    dataset = load_configured(config, data_dir)
    configuration.refuse_other_data(configuration.load(config.workdir), config, dataset)
    return dataset
