"""Images drawn given conditions: grey ones, small ones, or vectors."""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn_tf import sampling
from pixelcnn_tf.grid import grid, to_uint8
from pixelcnn_tf.levels import dtype_of_levels, input_to_levels, levels_to_input
from pixelcnn_tf.models.image_model import AutoregressiveModel
from pixelcnn_tf.random import example_seeds
from train.data.dataset import Dataset
from train.data.image_sources import Images
from train.errors import UserError
from train.run import Run
from train.run.image_adapter import ImageAdapter
from train.sampling.samples import BATCH_SIZE, RowProgress, check_memory, finish


class ConditionBatch(NamedTuple):
    """What images are drawn given.

    Attributes:
      conditions: integer levels `[N, h, w, D]`, or vectors `[N, D]`.
      originals: the images that they are of, integer levels `[N, H, W, C]`; None if not known.
    """

    conditions: np.ndarray
    originals: np.ndarray | None


def _size(shape):
    return f"{shape[0]}x{shape[1]} with {shape[2]} channel{'s' * (shape[2] > 1)}"


def _small(model, levels):
    """Levels, or vectors, in the type in which they are kept."""
    if levels.dtype.kind not in "iu":
        return levels
    return levels.astype(dtype_of_levels(model.num_levels))


def conditions_of(model: AutoregressiveModel, levels: np.ndarray) -> np.ndarray:
    """The conditions of images `[N, H, W, C]`, integer levels: levels `[N, h, w, D]`, or vectors
    `[N, D]`."""
    condition = model.condition.from_images(levels_to_input(levels, model.num_levels))
    if model.encoder is not None:
        return condition.numpy()
    return input_to_levels(condition, model.num_levels).numpy()


def test_conditions(
    model: AutoregressiveModel, dataset: Dataset, num_images: int
) -> ConditionBatch:
    """The conditions of the first test images of a data set, at most all."""
    num_images = min(num_images, dataset.eval.num_examples)
    originals = next(iter(dataset.eval.in_order(num_images)))["images"].numpy()
    return ConditionBatch(conditions_of(model, originals), originals)


def read_conditions(
    model: AutoregressiveModel, images: Images, run: Run, num_images: int
) -> ConditionBatch:
    """Conditions from images: each is the condition itself, or an image of the model's size, whose
    condition is taken. Vectors are always taken of images.

    Args:
      model: with a `condition`.
      images: of `open_images`.
      run: the model's run.
      num_images: how many, at most.

    Raises:
      UserError: for an image that is neither, naming it.
    """
    if model.encoder is not None:
        originals = np.stack(list(islice(_whole_images(model, images, run), num_images)))
        return ConditionBatch(conditions_of(model, originals), originals)
    shape, whole = model.condition.shape(model.image_shape), model.image_shape
    adapt, found, originals = ImageAdapter(run), [], []
    for image in islice(images.read(), num_images):
        levels, where = image.levels, f"{images.flag}: {image.name}"
        if levels.shape not in (shape, whole):
            raise UserError(
                f"{where} is {_size(levels.shape)}, must be {_size(shape)} "
                f"(--condition={model.condition.name}) or {_size(whole)} (an image to take it of)"
            )
        levels = adapt.with_levels(where, levels, image.num_levels)
        if levels.shape == whole:
            originals.append(levels)
            levels = conditions_of(model, levels[None])[0]
        found.append(levels)
    known = len(originals) == len(found)
    return ConditionBatch(np.stack(found).astype(np.int32), np.stack(originals) if known else None)


def _whole_images(model, images: Images, run: Run) -> Iterator[np.ndarray]:
    """The levels of images as the model takes them, one by one."""
    adapt = ImageAdapter(run)
    for image in images.read():
        levels = adapt(image, images.flag).levels
        if levels.shape != model.image_shape:
            raise UserError(
                f"{images.flag}: {image.name} is {_size(levels.shape)}, must be "
                f"{_size(model.image_shape)}, as the images of the run"
            )
        yield levels


def _as_h(model, conditions):
    """Conditions as the model takes them: maps or vectors."""
    if model.encoder is None:
        conditions = levels_to_input(conditions, model.num_levels)
    return model.condition.broadcast_to_image(conditions, model.image_shape)


def _draw(model, h, seed, temperature, say, between_rows=None):
    """One image given each of the maps or vectors `h`; seed: as for `sampling.sample`."""
    return sampling.sample(
        model,
        len(h),
        seed,
        h,
        temperature=temperature,
        batch_size=BATCH_SIZE,
        progress=RowProgress(model, len(h), say, between_rows),
    )


def write_conditioned(
    model: AutoregressiveModel,
    given: ConditionBatch,
    num_versions: int,
    seed: int,
    path: str,
    temperature: float = 1.0,
    say: Callable[[str], None] = print,
    between_rows: Callable[[], None] | None = None,
    request: str = "",
    advice: str = "",
) -> np.ndarray:
    """Draws images given conditions; writes `<path>.png` and `<path>.npz`.

    A row of the picture: the original if it is known, the condition if it is a map, and what was
    drawn. The `.npz` holds `images`, `conditions` and `originals`, integer levels (vectors are
    floats), `num_levels` and `seed`.

    Args:
      model: with a `condition`.
      given: the conditions.
      num_versions: images drawn of each.
      seed, path, temperature, say, between_rows, request, advice: as for `write_samples`.

    Returns:
      The picture, uint8 `[H', W', C]`.

    Raises:
      ValueError, UserError, Interrupted: as `write_samples`.
    """
    begin, num_images = time.monotonic(), len(given.conditions)
    what = f"--num_samples={num_images} --num_completions={num_versions}"
    check_memory(model, num_images * (num_versions + 2), what)
    h = _as_h(model, given.conditions)
    drawn = _draw(model, np.repeat(h, num_versions, axis=0), seed, temperature, say, between_rows)
    shown = []
    if given.originals is not None:
        shown.append(to_uint8(given.originals, model.num_levels))
    if model.encoder is None:
        maps = to_uint8(input_to_levels(h, model.num_levels).numpy(), model.num_levels)
        shown.append(np.broadcast_to(maps, [num_images, *model.image_shape]))

    def make_picture(images):
        versions = images.reshape(num_images, num_versions, *model.image_shape)
        rows = np.concatenate([np.stack(shown, axis=1), versions], axis=1)
        return grid(rows.reshape(-1, *model.image_shape), columns=rows.shape[1])

    arrays = _arrays(model, given, seed, request)
    return finish(model, drawn, begin, path, arrays, make_picture, say, advice)


def _arrays(model, given, seed, request):
    """What the `.npz` holds besides the images drawn."""
    arrays = {"seed": seed, "conditions": _small(model, given.conditions)}
    if given.originals is not None:
        arrays["originals"] = _small(model, given.originals)
    return arrays | ({"request": request} if request else {})


def write_like(
    model: AutoregressiveModel,
    given: ConditionBatch,
    num_samples: int,
    seed: int,
    path: str,
    temperature: float = 1.0,
    say: Callable[[str], None] = print,
    request: str = "",
) -> np.ndarray:
    """Draws images given the vector of one image; writes `<path>.png` and `<path>.npz`, as
    `write_conditioned`. The picture is a grid that begins with the original.

    Args:
      model: with an `encoder`.
      given: one vector and its original.
      num_samples: images drawn.
      seed, path, temperature, say, request: as for `write_samples`.

    Raises:
      ValueError, UserError: as `write_samples`.
    """
    begin = time.monotonic()
    check_memory(model, num_samples + 1, f"--num_samples={num_samples}")
    drawn = _draw(model, np.repeat(given.conditions, num_samples, axis=0), seed, temperature, say)

    def make_picture(images):
        original = to_uint8(given.originals, model.num_levels)
        return grid(np.concatenate([original, images]))

    arrays = _arrays(model, given, seed, request)
    return finish(model, drawn, begin, path, arrays, make_picture, say)


def write_interpolation(
    model: AutoregressiveModel,
    given: ConditionBatch,
    num_steps: int,
    num_rows: int,
    seed: int,
    path: str,
    temperature: float = 1.0,
    say: Callable[[str], None] = print,
    request: str = "",
) -> np.ndarray:
    """Draws images given the vectors on the straight line between two; writes `<path>.png` and
    `<path>.npz`, as `write_conditioned` (`conditions` are the vectors of a row).

    A row of the picture: the one original, images given the vectors from its own to the other's,
    the other original. All images of a row have the same noise, every row its own.

    Args:
      model: with an `encoder`.
      given: two vectors and their originals.
      num_steps: images of a row, at least 2.
      num_rows: rows.
      seed, path, temperature, say, request: as for `write_samples`.

    Raises:
      ValueError, UserError: as `write_samples`.
    """
    begin, num = time.monotonic(), num_steps * num_rows
    check_memory(model, num, f"--steps={num_steps} --num_completions={num_rows}")
    share = np.linspace(0.0, 1.0, num_steps, dtype=np.float32)[:, None]
    vectors = (1.0 - share) * given.conditions[0] + share * given.conditions[1]
    seeds = tf.repeat(example_seeds(seed, num_rows), num_steps, axis=0)
    drawn = _draw(model, np.tile(vectors, [num_rows, 1]), seeds, temperature, say)

    def make_picture(images):
        ends = np.tile(to_uint8(given.originals, model.num_levels), [num_rows, 1, 1, 1, 1])
        ends = ends.reshape(num_rows, 2, *model.image_shape)
        rows = images.reshape(num_rows, num_steps, *model.image_shape)
        rows = np.concatenate([ends[:, :1], rows, ends[:, 1:]], axis=1)
        return grid(rows.reshape(-1, *model.image_shape), columns=num_steps + 2)

    arrays = _arrays(model, given._replace(conditions=vectors), seed, request)
    return finish(model, drawn, begin, path, arrays, make_picture, say)
