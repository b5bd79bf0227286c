"""What a run's model can do, checked before work begins."""

from pixelcnn_tf.likelihoods.base import Likelihood
from pixelcnn_tf.models.image_model import AutoregressiveModel
from train.errors import ArgumentError, UserError


def check_draws_images(model, workdir: str) -> None:
    """Raises ArgumentError if a run's model does not draw images."""
    if not isinstance(model, AutoregressiveModel):
        raise ArgumentError(
            "workdir",
            workdir,
            f"a {type(model).__name__} draws no images; a prior of its codes does: train.main "
            f"--dataset=codes:{workdir} --model=gated_pixelcnn",
        )


def check_has_likelihood(model, argument: str, workdir: str) -> None:
    """Raises ArgumentError if a run's model was not trained by likelihood."""
    if not isinstance(model.likelihood, Likelihood):
        raise ArgumentError(
            argument,
            workdir,
            f"the run was trained for the {model.likelihood.metric}, which gives no likelihood",
        )


def check_condition_size(model, what: str) -> None:
    """Raises UserError, which begins with `what`, if images of the model's size do not have the
    condition that it needs: the Keras model of an embedding may take one size only."""
    if model.condition is not None:
        try:
            model.condition.check(model.image_shape)
        except ValueError as error:
            raise UserError(f"{what}: {error}") from None
