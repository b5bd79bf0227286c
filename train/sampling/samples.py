"""Samples and completions of a model as files: a picture and the numbers."""

import math
import os
import time
import weakref
from collections.abc import Callable

import numpy as np

from pixelcnn_tf import sampling
from pixelcnn_tf.grid import grid, to_uint8
from pixelcnn_tf.levels import dtype_of_levels, input_to_levels, levels_to_input
from pixelcnn_tf.models.image_model import AutoregressiveModel, ImageModel
from pixelcnn_tf.random import example_seeds
from train.data.dataset import Dataset
from train.devices import Workers
from train.errors import UserError, writing
from train.progress import duration
from train.run.codes import Decoder
from train.sampling.grid import picture_bytes, write_npz, write_png
from train.sampling.replicas import on_all_replicas

BATCH_SIZE = 64  # images sampled at a time, whatever the number asked for
QUIET_SECONDS = 5  # between two reports
NOT_GIVEN = 127  # grey of the pixels that a completion was not given


MAX_BYTES = 4 * 2**30  # of memory for the noise, images and picture of one call

_sampled = weakref.WeakSet()  # the models whose sampler is compiled


class RowProgress:
    """Reports how many rows of all batches are sampled; pass it as `progress`.

    Args:
      model: the model; the first time that it is sampled from, its sampler is compiled.
      num_samples: number of images.
      say: function that takes a line of text.
      between_rows: called after each row; may raise to end the sampling.
    """

    def __init__(
        self,
        model: AutoregressiveModel,
        num_samples: int,
        say: Callable[[str], None],
        between_rows: Callable[[], None] | None = None,
    ):
        self.total = -(-num_samples // BATCH_SIZE) * model.image_shape[0]
        self.say = say
        self.between_rows = between_rows
        self.done = 0
        self.reported = time.monotonic()
        if model not in _sampled:
            _sampled.add(model)
            say("compiling the sampler ...")

    def __call__(self, rows):
        if self.between_rows is not None:
            self.between_rows()
        self.done += rows
        if time.monotonic() - self.reported > QUIET_SECONDS:
            self.reported = time.monotonic()
            self.say(f"sampling: {self.done} of {self.total} rows")


def check_memory(
    model: ImageModel, num_samples: int, what: str, decoder: Decoder | None = None
) -> None:
    """Raises UserError, which begins with `what`, if so many samples need too much memory."""
    shown = model.image_shape if decoder is None else decoder.model.image_shape
    height, width, channels = model.image_shape
    # Noise; given, sampled and whole images in float32, as levels and in the picture.
    noise = model.likelihood.num_uniforms if isinstance(model, AutoregressiveModel) else 0
    numbers = height * width * (noise + 3 * channels)
    each = 4 * numbers + 2 * math.prod(shown) + picture_bytes(shown)
    if num_samples * each > MAX_BYTES:
        raise UserError(
            f"{what}: needs {num_samples * each:,} bytes of memory, {each:,} per image; at most "
            f"{MAX_BYTES:,} bytes ({MAX_BYTES // each:,} images) are allowed per call; draw more "
            "with another --seed"
        )


def _levels(model, images):
    """Images in [-1, 1] as integer levels."""
    levels = input_to_levels(images, model.num_levels).numpy()
    return levels.astype(dtype_of_levels(model.num_levels))


def _shown(model, levels, decoder):
    """Levels of a model, or its codes, as images to look at: uint8 `[N, H, W, C]`."""
    if decoder is None:
        return to_uint8(levels, model.num_levels)
    return to_uint8(decoder.decode(levels), decoder.model.num_levels)


def finish(model, images, begin, path, arrays, make_picture, say, advice="", decoder=None):
    """Writes `<path>.npz` and `<path>.png`; returns the picture.

    Args:
      model: the model.
      images: what it drew, values in [-1, 1].
      begin: when that began, of `time.monotonic`.
      path: without extension.
      arrays: what the `.npz` holds besides `images` and `num_levels`.
      make_picture: function of the images, uint8 `[N, H, W, C]`.
      say, advice, decoder: as for `write_samples`.
    """
    levels = _levels(model, images)
    num_levels = model.num_levels
    if decoder is not None:
        arrays = arrays | {"codes": levels[..., 0]}
        levels, num_levels = decoder.decode(levels), decoder.model.num_levels
    arrays = {"images": levels, "num_levels": num_levels} | arrays
    picture = make_picture(to_uint8(levels, num_levels))
    with writing(path, advice):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        write_npz(path + ".npz", **arrays)
        write_png(path + ".png", picture)
    say(f"{len(levels)} samples in {duration(time.monotonic() - begin)}: {path}.png, .npz")
    return picture


def write_samples(
    model: AutoregressiveModel,
    num_samples: int,
    seed: int,
    path: str,
    labels: np.ndarray | None = None,
    temperature: float = 1.0,
    say: Callable[[str], None] = print,
    workers: Workers | None = None,
    between_rows: Callable[[], None] | None = None,
    request: str = "",
    advice: str = "",
    decoder: Decoder | None = None,
) -> np.ndarray:
    """Samples images and writes `<path>.png` (a grid) and `<path>.npz`.

    The `.npz` holds `images`, integer levels `[N, H, W, C]` (uint8 up to 256 levels),
    `num_levels`, `seed` and, for a conditional model, `labels`. With `decoder` the model's own
    samples are `codes` `[N, h, w]`, and `images` what they decode to.

    Args:
      model: an `AutoregressiveModel`.
      num_samples: number of images.
      seed: int.
      path: without extension.
      labels: classes `[N]`; default for a conditional model: 0, 1, 2, ... in turn, as in the
        official `train.py`, and the grid has one row a class.
      temperature: see `pixelcnn_tf.sampling.complete`.
      say: function that takes a line of text.
      workers: sample on all their replicas; default: those of the current strategy. Each process
        must call this; the chief writes the files.
      between_rows: called now and then; it may raise `Interrupted`, which ends the sampling.
      request: what was asked for, in words; kept as `request` in the `.npz`.
      advice: added to the error if a file cannot be written.
      decoder: turns the codes that the model gives into images, or None.

    Returns:
      The grid, uint8 `[H', W', C]`.

    Raises:
      ValueError: for an argument that does not fit the model, naming it.
      UserError: if so many samples need too much memory, or a file cannot be written.
      Interrupted: see `on_all_replicas`.
    """
    check_memory(model, num_samples, f"--num_samples={num_samples}", decoder)
    workers = workers or Workers()
    begin = time.monotonic()
    rows = None
    if labels is None and model.num_classes:
        labels = np.arange(num_samples) % model.num_classes
        rows = min(num_samples, model.num_classes)
    seeds = example_seeds(seed, num_samples).numpy()
    labels = None if labels is None else np.asarray(labels, np.int32)

    def sample_part(numbers, progress):
        return sampling.sample(
            model,
            len(numbers),
            seed=seeds[numbers],
            labels=None if labels is None else labels[numbers],
            temperature=temperature,
            batch_size=BATCH_SIZE,
            progress=progress,
        )

    share = -(-num_samples // workers.strategy.num_replicas_in_sync)
    progress = RowProgress(model, share, say, between_rows)
    images = on_all_replicas(workers, sample_part, num_samples, progress)
    arrays = {"seed": seed}
    if labels is not None:
        arrays["labels"] = labels

    def make_picture(levels):
        return grid(levels, rows=rows)

    if not workers.is_chief:
        return make_picture(_shown(model, _levels(model, images), decoder))
    if request:
        arrays["request"] = request
    return finish(model, images, begin, path, arrays, make_picture, say, advice, decoder)


def given_mask(part: str, image_shape: tuple) -> np.ndarray:
    """`[H, W]` of 0 and 1: the upper ("top") or the left half ("left") of the image is given."""
    height, width, _ = image_shape
    mask = np.zeros([height, width], np.uint8)
    mask[: height // 2 if part == "top" else height, : width // 2 if part == "left" else width] = 1
    return mask


def write_completions(
    model: AutoregressiveModel,
    dataset: Dataset,
    part: str,
    num_images: int,
    num_completions: int,
    seed: int,
    path: str,
    temperature: float = 1.0,
    say: Callable[[str], None] = print,
    request: str = "",
    decoder: Decoder | None = None,
) -> np.ndarray:
    """Completes test images; writes `<path>.png` and `<path>.npz`.

    A row of the picture: the original, what was given (the rest grey), the completions; the `.npz`
    has `images`, `originals`, `mask` `[H, W]`, `num_levels` and `seed`. With `decoder` all images
    are decoded from codes, the originals too, and `codes` and `mask` are those of the codes.

    Args:
      model: an `AutoregressiveModel`.
      dataset: the run's `Dataset`; its first test images are completed.
      part: "top" or "left", see `given_mask`.
      num_images: how many images; at most all of the split.
      num_completions: how many completions of each.
      seed, path, temperature, say, request, decoder: as for `write_samples`.

    Returns:
      The picture, uint8 `[H', W', C]`.

    Raises:
      ValueError, UserError: as `write_samples`.
    """
    begin = time.monotonic()
    num_images = min(num_images, dataset.eval.num_examples)
    check_memory(
        model,
        num_images * (num_completions + 2),
        f"--num_samples={num_images} --num_completions={num_completions}",
        decoder,
    )
    batch = next(iter(dataset.eval.in_order(num_images)))
    originals = np.repeat(batch["images"].numpy(), num_completions, axis=0)
    values = levels_to_input(originals, model.num_levels)
    labels = np.repeat(batch["labels"].numpy(), num_completions) if model.num_classes else None
    if model.condition is not None:
        labels = model.compute_condition(values)
    mask = given_mask(part, model.image_shape)
    completed = sampling.complete(
        model,
        values,
        mask,
        seed,
        labels,
        temperature=temperature,
        batch_size=BATCH_SIZE,
        progress=RowProgress(model, len(originals), say),
    )

    def make_picture(completions):
        first = _shown(model, originals[::num_completions], decoder)
        pixels = mask if decoder is None else decoder.enlarge(mask)
        given = np.where(pixels[..., None] == 1, first, NOT_GIVEN).astype(np.uint8)
        shape = [num_images, num_completions, *first.shape[1:]]
        rows = np.concatenate([first[:, None], given[:, None], completions.reshape(shape)], axis=1)
        return grid(rows.reshape(-1, *first.shape[1:]), columns=num_completions + 2)

    shown = originals if decoder is None else decoder.decode(originals)
    arrays = {"seed": seed, "originals": shown, "mask": mask}
    if request:
        arrays["request"] = request
    return finish(model, completed, begin, path, arrays, make_picture, say, decoder=decoder)
