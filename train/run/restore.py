"""A trained model from a run's folder, or from the package."""

import os
from typing import NamedTuple

from pixelcnn_tf import pretrained
from pixelcnn_tf.models.base import AutoregressiveModel
from pixelcnn_tf.models.image_model import ImageModel
from train.config import config_json as configuration
from train.config.config import Config
from train.config.models import make_model
from train.config.pretrained import is_pretrained, read_from
from train.errors import UserError
from train.run.checkpoints import Checkpoints
from train.run.embedding import kept_embedding, load_encoder

MAX_SIDE = 2**14  # pixels of height or width; a larger one is a slip


class Run(NamedTuple):
    """A trained model and how it was trained.

    Attributes:
      config: its `Config`.
      raw: the `ImageModel` with the weights of training; None of a model in the package.
      averaged: the one with their Polyak averages.
      step: how many there were.
    """

    config: Config
    raw: ImageModel | None
    averaged: ImageModel
    step: int

    def model(self, averaged: bool) -> ImageModel:
        """The one that `--averaged` asks for.

        Raises:
          UserError: if the run has no raw weights.
        """
        if averaged:
            return self.averaged
        if self.raw is None:
            raise UserError(f"--noaveraged: --workdir={self.config.workdir} has averages only")
        return self.raw


def load_run(workdir: str) -> Run:
    """Reads a run: its configuration and newest checkpoint. Its data set is not needed.

    Args:
      workdir: the run's folder, or `pretrained:NAME`.

    Raises:
      UserError: if there is no run or no readable checkpoint.
    """
    saved = configuration.require_run(workdir)
    config, data = saved.config, saved.data
    if is_pretrained(workdir):
        return _load_pretrained(config, data)
    encoder = load_encoder(kept_embedding(saved))
    model, averaged_model = (make_model(config, data, encoder) for _ in range(2))
    step = Checkpoints(workdir, model, averaged_model).restore_latest()
    if step is None:
        raise UserError(f"--workdir={workdir}: the run has no checkpoint yet")
    return Run(config, model, averaged_model, step)


def _path_of(workdir):
    return os.path.join(read_from(workdir), "")  # a path, not a name


def read_card(workdir: str) -> dict:
    """The `card.json` of `pretrained:NAME`; {} for a run's folder. Raises UserError if it is
    damaged."""
    if not is_pretrained(workdir):
        return {}
    try:
        return pretrained.card(_path_of(workdir))
    except ValueError as error:
        raise UserError(f"--workdir={workdir}: {error}") from None


def _load_pretrained(config, data):
    """`load_run`, of a folder that `train.pack` wrote. Raises UserError if it is damaged."""
    card = read_card(config.workdir)
    try:
        model = pretrained.load(_path_of(config.workdir))
    except ValueError as error:
        raise UserError(f"--workdir={config.workdir}: {error}") from None
    kind = (tuple(model.image_shape), model.num_levels)
    if kind != (data.image_shape, data.num_levels):
        raise UserError(
            f"--workdir={config.workdir}: config.json describes images of {data.image_shape} and "
            f"{data.num_levels} levels, card.json of {kind[0]} and {kind[1]}: they are of two runs"
        )
    return Run(config, None, model, card["step"])


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
