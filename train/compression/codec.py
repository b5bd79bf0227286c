"""What `train.compress` and `train.decompress` put in and take out: images as parts of one size."""

import contextlib
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from PIL import Image as Pillow

from pixelcnn_tf.codec import Codec, CodecError, Decoded
from train.data.image_sources import Images
from train.errors import ArgumentError, UserError
from train.run import Run
from train.run.image_adapter import require_label
from train.sampling.grid import write_npz

PART = 1024  # images of one size that are encoded together
HELD = 2**28  # bytes of images that wait for others of their size
NUMBERED = ".npz"  # sources whose images have numbers, no names
PNG_MODES = {(2, 1): "1", (256, 1): "L", (256, 3): "RGB", (65536, 1): "I;16"}


def make_codec(run: Run, averaged: bool) -> Codec:
    """The codec of a run's model. Raises ArgumentError if it has no likelihood."""
    model = run.model(averaged)
    try:
        codec = Codec(model)
        codec.require_coder()
        return codec
    except (ValueError, ImportError) as error:
        raise ArgumentError("workdir", run.workdir, str(error)) from None


@contextlib.contextmanager
def compressing() -> Iterator[None]:
    """Turns what the codec says about images into a UserError."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"--images: {error}") from None


@contextlib.contextmanager
def decompressing(path: str) -> Iterator[None]:
    """Turns what the codec says about a file into a UserError."""
    try:
        yield
    except CodecError as error:
        raise ArgumentError("input", path, f"{error}") from None


def _checked_label(image, images: Images, run: Run, label):
    """The label of an image. Raises UserError if the model does not take it as it is."""
    where, data = f"{images.flag}: {image.name}", run.data
    channels, num_levels = data.image_shape[-1], image.num_levels or data.num_levels
    if image.levels.shape[-1] != channels:
        raise UserError(
            f"{where}: the image has {image.levels.shape[-1]} channels, the run expects {channels}"
        )
    if num_levels != data.num_levels:
        raise UserError(
            f"{where} has {num_levels} levels per channel, the run expects {data.num_levels}; "
            "compression is lossless and does not quantise"
        )
    if not run.config.class_conditional:
        return None
    label = image.label if label is None else label
    return require_label(where, label, data.num_classes, "the run")


def parts_of(
    images: Images, run: Run, label: int | None, subpixels: list[int]
) -> Iterator[Decoded]:
    """Images in parts of one size; those of a size that is rare wait for others, up to a limit of
    memory.

    Args:
      images: of `open_images`.
      run: whose model compresses them.
      label: the class of all images; None: their own.
      subpixels: how many each image has is appended.

    Raises:
      UserError: for an image that the model does not take as it is.
    """
    waiting, held = {}, 0
    for image in images.read():
        given = _checked_label(image, images, run, label)
        subpixels.append(image.levels.size)
        same = waiting.setdefault(image.levels.shape, [])
        same.append((image.levels, given, image.name))
        held += image.levels.nbytes
        if len(same) == PART or held > HELD:
            shape = image.levels.shape
            if len(same) < PART:
                shape = max(waiting, key=lambda shape: sum(x[0].nbytes for x in waiting[shape]))
            part = waiting.pop(shape)
            held -= sum(levels.nbytes for levels, *_ in part)
            yield _part(part, images.folder is not None)
    for part in waiting.values():
        yield _part(part, images.folder is not None)


def _part(members, has_names):
    levels, labels, names = zip(*members, strict=True)
    labels = None if labels[0] is None else np.array(labels, np.int32)
    return Decoded(np.stack(levels), labels, list(names) if has_names else None)


def writer(output: str, codec: Codec) -> Callable[[Iterable[Decoded]], None]:
    """The function that writes decoded parts, all or nothing.

    Args:
      output: a file .npz, or a folder, new or empty.
      codec: which decodes them.

    Raises:
      UserError: if the images cannot be written so.
    """
    kind = codec.num_levels, codec.channels
    if output.endswith(".npz"):
        return functools.partial(_write_npz, output, codec.num_levels)
    if kind not in PNG_MODES:
        raise ArgumentError(
            "output",
            output,
            f"images of {kind[0]} levels and {kind[1]} channels do not fit "
            "into PNG files; give a file .npz",
        )
    return functools.partial(_write_folder, output, kind)


def _write_npz(output, num_levels, parts):
    parts = list(parts)
    arrays = {"images": np.concatenate([part.images for part in parts]), "num_levels": num_levels}
    if parts[0].labels is not None:
        arrays["labels"] = np.concatenate([part.labels for part in parts])
    if parts[0].names is not None:
        arrays["names"] = np.concatenate([np.array(part.names) for part in parts])
    write_npz(output, **arrays)


def _write_folder(output, kind, parts):
    """The folder is made beside its place, and renamed once all is in it."""
    folder = tempfile.mkdtemp(prefix=".unfinished-", dir=os.path.dirname(output) or ".")
    try:
        os.chmod(folder, 0o755)
        labels, number = {}, 0
        for part in parts:
            for place, levels in enumerate(part.images):
                name = part.names[place] if part.names else f"{number:07d}.png"
                path = _png_path(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                _save_png(path, levels, kind)
                if part.labels is not None:
                    labels[os.path.relpath(path, folder)] = int(part.labels[place])
                number += 1
        if labels:
            with open(os.path.join(folder, "labels.json"), "w", encoding="utf-8") as file:
                json.dump(labels, file, indent=1)
        os.replace(folder, output)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _png_path(folder, name):
    """Where an image goes. Raises UserError for a name that leads out of the folder."""
    path = os.path.normpath(os.path.join(folder, name))
    if os.path.isabs(name) or not path.startswith(folder + os.sep):
        raise UserError(f"--input: holds an image named {name!r}, which lies outside a folder")
    if not path.lower().endswith(".png"):
        path += ".png"
    while os.path.exists(path):
        path = path[:-4] + "_.png"
    return path


def _save_png(path, levels, kind):
    mode = PNG_MODES[kind]
    levels = levels[..., 0] if levels.shape[-1] == 1 else levels
    if mode == "1":
        Pillow.fromarray(levels.astype(bool)).save(path, format="PNG")
    else:
        Pillow.fromarray(levels).save(path, format="PNG")
