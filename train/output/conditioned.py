"""Images drawn given conditions that are images themselves: grey ones, small ones."""

import time
from collections.abc import Callable
from itertools import islice

import numpy as np

from pixelcnn_tf import sampling
from pixelcnn_tf.grid import grid, to_uint8
from pixelcnn_tf.levels import input_to_levels, levels_to_input, quantize_levels
from pixelcnn_tf.models.base import AutoregressiveModel
from train.config.saved import Saved
from train.data.dataset import Dataset
from train.data.images import Images
from train.errors import UserError
from train.output.samples import BATCH_SIZE, RowProgress, finish, refuse_too_many


def _size(shape):
    return f"{shape[0]}x{shape[1]} with {shape[2]} channel{'s' * (shape[2] > 1)}"


def conditions_of(model: AutoregressiveModel, levels: np.ndarray) -> np.ndarray:
    """The conditions `[N, h, w, D]` of images `[N, H, W, C]`, integer levels both."""
    condition = model.condition.of(levels_to_input(levels, model.num_levels))
    return input_to_levels(condition, model.num_levels).numpy()


def read_conditions(
    model: AutoregressiveModel, images: Images, saved: Saved, num_images: int
) -> np.ndarray:
    """Conditions `[N, h, w, D]`, integer levels, from images: each is the condition itself, or an
    image of the model's size, whose condition is taken.

    Args:
      model: with a `condition`.
      images: of `open_images`.
      saved: the run's `config.json`.
      num_images: how many, at most.

    Raises:
      UserError: for an image that is neither, naming it.
    """
    shape, whole, found = model.condition.shape(model.image_shape), model.image_shape, []
    for image in islice(images.read(), num_images):
        levels, where = image.levels, f"{images.flag}: {image.name}"
        if levels.shape not in (shape, whole):
            raise UserError(
                f"{where} is {_size(levels.shape)}, must be {_size(shape)} "
                f"(--condition={model.condition.name}) or {_size(whole)} (an image to take it of)"
            )
        num_levels = image.num_levels or model.num_levels
        if num_levels > model.num_levels and saved.config.num_levels:
            levels = quantize_levels(levels, num_levels, model.num_levels)
        elif num_levels != model.num_levels:
            raise UserError(
                f"{where} has {num_levels} levels a channel, the run has {model.num_levels}"
            )
        found.append(levels if levels.shape == shape else conditions_of(model, levels[None])[0])
    return np.stack(found).astype(np.int32)


def write_conditioned(
    model: AutoregressiveModel,
    given: np.ndarray | Dataset,
    num_images: int,
    num_versions: int,
    seed: int,
    path: str,
    temperature: float = 1.0,
    say: Callable[[str], None] = print,
    between_rows: Callable[[], None] | None = None,
    request: str = "",
    advice: str = "",
) -> np.ndarray:
    """Draws several images given each condition; writes `<path>.png` and `<path>.npz`.

    A row of the picture: the image that the condition is of, if that is known, the condition, and
    what was drawn. The `.npz` holds `images`, `conditions` and `originals`, integer levels,
    `num_levels` and `seed`.

    Args:
      model: with a `condition`.
      given: conditions of `read_conditions`; or a `Dataset`: those of its first test images.
      num_images: how many conditions; at most all.
      num_versions: images drawn of each.
      seed, path, temperature, say, between_rows, request, advice: as for `write_samples`.

    Returns:
      The picture, uint8 `[H', W', C]`.

    Raises:
      ValueError, UserError, Interrupted: as `write_samples`.
    """
    begin, arrays = time.monotonic(), {"seed": seed}
    if isinstance(given, Dataset):
        num_images = min(num_images, given.test.num_examples)
    else:
        num_images = min(num_images, len(given))
    what = f"--num_samples={num_images} --num_completions={num_versions}"
    refuse_too_many(model, num_images * (num_versions + 2), what)
    shown = []
    if isinstance(given, Dataset):
        originals = next(iter(given.test.in_order(num_images)))["images"].numpy()
        given = conditions_of(model, originals)
        arrays["originals"] = originals
        shown.append(to_uint8(originals, model.num_levels))
    given = given[:num_images]
    small = np.uint8 if model.num_levels <= 256 else np.uint16
    arrays["conditions"] = given.astype(small)
    if request:
        arrays["request"] = request
    maps = model.condition.to_map(levels_to_input(given, model.num_levels), model.image_shape)
    drawn = sampling.sample(
        model,
        num_images * num_versions,
        seed,
        np.repeat(maps, num_versions, axis=0),
        temperature=temperature,
        batch_size=BATCH_SIZE,
        progress=RowProgress(model, num_images * num_versions, say, between_rows),
    )
    grey = to_uint8(input_to_levels(maps, model.num_levels).numpy(), model.num_levels)
    shown.append(np.broadcast_to(grey, [num_images, *model.image_shape]))

    def make_picture(images):
        versions = images.reshape(num_images, num_versions, *model.image_shape)
        rows = np.concatenate([np.stack(shown, axis=1), versions], axis=1)
        return grid(rows.reshape(-1, *model.image_shape), columns=rows.shape[1])

    return finish(model, drawn, begin, path, arrays, make_picture, say, advice)
