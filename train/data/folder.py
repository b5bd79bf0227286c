"""A folder of images.

Either root/<split>/..., of which train is one split; or all images under the root, one in ten of
which becomes the test split. Within a split (or the root) the folders of the first level are the
classes, if every image lies in one; what lies deeper belongs to them.
"""

import hashlib
import os

import numpy as np

from pixelcnn_tf.levels import dtype_of_levels
from train.data.dataset import Dataset
from train.data.decode import EXTENSIONS
from train.data.file_split import FileSplit
from train.data.folder_reader import Images, list_images, read_images
from train.data.options import DataOptions, size_text
from train.data.split_names import TEST_SPLITS, Piece, choose
from train.data.splits import ArraySplit, PackedSplit, Split
from train.errors import ArgumentError, UserError

TEST_SHARE = 10  # of images without splits one in so many is scored, by the hash of its name
SPLITS = {"train", *TEST_SPLITS}
PARTS_BY_HASH = "parts of splits in the order of the hashes of the file names"
NO_CLASSES = "not every image lies in a folder of its class"


def load_folder(name: str, options: DataOptions) -> Dataset:
    """Loads `folder:/path`.

    Raises:
      UserError: if there is nothing to load, an image cannot be read (naming it), or the images
        differ in size and no flag makes them alike.
    """
    what = f"--dataset={name}"
    root = os.path.expanduser(name.removeprefix("folder:"))
    if not os.path.isdir(root):
        raise UserError(f"{what}: no such folder")
    files, others = list_images(root)
    if not files:
        raise UserError(f"{what}: holds no images ({', '.join(EXTENSIONS)}), nor do its folders")
    homes, within, note = _homes(what, root, files)
    images = read_images(
        [os.path.join(root, path) for path in files],
        what,
        options.alpha,
        options.resize,
        options.skip_broken,
    )
    _require_fitting_sizes(what, images, options.crop)
    readable = [os.path.relpath(path, root) for path in images.paths]
    numbers = {}  # of the images of each split
    for number, path in enumerate(readable):
        numbers.setdefault(homes[path], []).append(number)
    classes = [path.split(os.sep)[0] for path in map(within.get, readable) if os.sep in path]
    labels = None
    if len(classes) == len(readable):
        names = sorted(set(classes))
        labels = np.array([names.index(each) for each in classes], np.int32)
    counts = {split: len(members) for split, members in numbers.items()}
    choice = choose(name, counts, options)
    in_parts = any(
        piece.end - piece.begin < counts[piece.split]
        for piece in (*choice.train_pieces, *choice.scored_pieces)
    )
    parts_note = PARTS_BY_HASH if in_parts else ""

    def members(piece):
        found = numbers[piece.split]
        if piece.end - piece.begin == len(found):
            return found
        # By name they would be sorted by class.
        by_hash = sorted(found, key=lambda number: _hash(readable[number]))
        return sorted(by_hash[piece.begin : piece.end])

    def make(pieces):
        wanted = [number for piece in pieces for number in members(piece)]
        return _make_split(images, wanted, labels, options.crop)

    warnings = list(images.warnings)
    if others:
        warnings.append(
            f"{what}: {len(others):,} file(s) of other kinds, such as {others[0]}, are left out"
        )
    train = make(choice.train_pieces)
    validation = choice.validation
    return Dataset(
        name,
        train.image_shape,
        images.num_levels,
        None if labels is None else len(names),
        train,
        make(choice.scored_pieces),
        note="; ".join(text for text in (note, choice.note, parts_note) if text),
        missing_labels=NO_CLASSES if labels is None and classes else "",
        validation=make([Piece(validation, 0, counts[validation])]) if validation else None,
        eval_name=choice.name,
        levels_are_known=images.num_levels != 256,
        warnings=tuple(warnings),
        parts_by_hash=in_parts,
    )


def _hash(path):
    return int(hashlib.sha256(path.replace(os.sep, "/").encode()).hexdigest(), 16)


def _homes(what, root, files):
    """The split of each file, its path within that, and a note on how they came about."""
    tops = {path.split(os.sep)[0] for path in files if os.sep in path}
    if "train" in tops or (tops and tops <= SPLITS):
        beside = next((path for path in files if os.sep not in path), None)
        if beside:
            raise UserError(
                f"{what}: images lie in folders of splits ({', '.join(sorted(tops))}), but "
                f"{beside} in {root} itself; put it into one of them"
            )
        parts = {path: path.split(os.sep, 1) for path in files}
        homes = {path: split for path, (split, _) in parts.items()}
        return homes, {path: rest for path, (_, rest) in parts.items()}, ""

    def home(path):
        return "train" if _hash(path) % TEST_SHARE else "test"

    homes = {path: home(path) for path in files}
    for split in ("train", "test"):
        if split not in homes.values():
            raise UserError(
                f"{what}: {len(files):,} image(s) are too few to hold out one in {TEST_SHARE}, by "
                f"the hash of the file name, for testing: none is left for the {split} split; put "
                "them into train/ and test/"
            )
    note = f"test split: one image in {TEST_SHARE}, by the hash of the file name"
    return homes, {path: path for path in files}, note


def _require_fitting_sizes(what, images: Images, crop):
    """Raises UserError if the images differ in size, or are smaller than the crops."""
    first = images.shapes[0]
    for path, shape in zip(images.paths, images.shapes, strict=True):
        if crop is not None and (shape[0] < crop[0] or shape[1] < crop[1]):
            raise ArgumentError(
                "crop",
                size_text(crop),
                f"{path} is {size_text(shape)}; all images must be at "
                "least as large (--resize=HxW makes them so)",
            )
        if crop is None and shape[:2] != first[:2]:
            raise UserError(
                f"{what}: {path} is {size_text(shape)}, but {images.paths[0]} is "
                f"{size_text(first)}; --resize=HxW or --crop=HxW makes all images of one size"
            )


def _make_split(images: Images, numbers: list[int], labels, crop) -> Split:
    """A split of the images with these numbers."""
    labels = None if labels is None else labels[numbers]
    lows, highs = zip(*(images.value_ranges[n] for n in numbers), strict=True)
    if images.levels is not None:
        levels = [images.levels[n] for n in numbers]
        if crop is not None:
            return PackedSplit.of_images(levels, labels, crop)
        return ArraySplit(np.stack(levels), labels)
    paths = [images.paths[n] for n in numbers]
    shape = (*(crop or images.shapes[0][:2]), images.shapes[0][2])
    return FileSplit(
        lambda number: images.read(paths[number]),
        len(paths),
        shape,
        dtype_of_levels(images.num_levels),
        labels,
        crop,
        (min(lows), max(highs)),
    )
