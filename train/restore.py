"""A trained model from a run's folder."""

from train import config as configuration
from train import data
from train.checkpoints import Checkpoints
from train.errors import UserError
from train.training import make_model


def load_run(workdir, data_dir=""):
    """Reads a run: its configuration, data set and newest checkpoint.

    Args:
      workdir: the run's folder.
      data_dir: where its tfds data is, if elsewhere than in training.

    Returns:
      `(config, dataset, model, averaged_model, step)`.

    Raises:
      UserError: if there is no run or no readable checkpoint.
    """
    if not workdir:
        raise UserError("--workdir is missing: the folder of the run")
    config = configuration.load(workdir)
    dataset = data.load(config.dataset, data_dir or config.data_dir)
    model, averaged_model = make_model(config, dataset), make_model(config, dataset)
    step = Checkpoints(workdir, model, averaged_model).restore_latest()
    if step is None:
        raise UserError(f"--workdir={workdir}: the run has no checkpoint yet")
    return config, dataset, model, averaged_model, step
