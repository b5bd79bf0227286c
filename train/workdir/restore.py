"""A trained model from a run's folder."""

from pixelcnn_tf.models.base import AutoregressiveModel
from train.config import saved as configuration
from train.config.models import make_model
from train.errors import UserError
from train.workdir.checkpoints import Checkpoints
from train.workdir.embedding import kept_embedding, load_encoder

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
    saved = configuration.require_run(workdir)
    encoder, config = load_encoder(kept_embedding(saved)), saved.config
    model, averaged_model = (make_model(config, saved.data, encoder) for _ in range(2))
    step = Checkpoints(workdir, model, averaged_model).restore_latest()
    if step is None:
        raise UserError(f"--workdir={workdir}: the run has no checkpoint yet")
    return config, model, averaged_model, step


def require_samples(model, workdir: str) -> None:
    """Raises UserError if a run's model draws no images."""
    if not isinstance(model, AutoregressiveModel):
        raise UserError(
            f"--workdir={workdir}: a {type(model).__name__} draws no images; a prior of its codes "
            f"does: train.main --dataset=codes:{workdir} --model=gated_pixelcnn"
        )


def require_condition(model, what: str) -> None:
    """Raises UserError, which begins with `what`, if images of the model's size do not have the
    condition that it is given: the Keras model of an embedding takes others."""
    if model.condition is not None:
        try:
            model.condition.check(model.image_shape)
        except ValueError as error:
            raise UserError(f"{what}: {error}") from None


def at_size(model, height: int, width: int):
    """The model at the size that the flags `--height` and `--width` ask for.

    Args:
      model: an `ImageModel`.
      height, width: 0: as trained.

    Raises:
      UserError: for a size that is none.
    """
    for name, value in (("height", height), ("width", width)):
        if not 0 <= value <= MAX_SIDE:
            raise UserError(f"--{name}={value}: must be from 1 to {MAX_SIDE}, or 0: as trained")
    trained = model.image_shape
    return model.at_size(height or trained[0], width or trained[1])
