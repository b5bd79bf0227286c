"""Batches of a split: a pure function of (seed, epoch, position), so that any step can be
continued exactly.

A batch is a dict of `images` (uint8 or uint16 `[B, H, W, C]`, levels), `labels` (int32 `[B]`,
where there are any) and `seeds` (int32 `[B, 3]`): for each example the step's random seed and its
place in the global batch, which key its dropout and its augmentation whatever replica it lands on.
"""

import copy
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pixelcnn_tf.random import batch_places
from train.data.augmentation import Augmentation, crop_corners

LOOKED_AT = 1_000  # images of a streamed split from which its levels are read
SHUFFLE_BUFFER = 20_000  # images of a streamed split that are shuffled among each other

# Several machines share each batch; the other policy would give each its own files, and with
# them another order.
SHARE_BATCHES = tf.data.Options()
SHARE_BATCHES.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA


def step_seed(seed: int, step: int | tf.Tensor) -> tf.Tensor:
    """The random seed of a step, int32 `[2]`."""
    return tf.random.fold_in(tf.constant([seed, 0]), step)


class Split:
    """A split of a data set.

    Attributes:
      num_examples: number of images.
      image_shape: `(H, W, C)` of the images in the batches.
      augmentation: what is drawn anew for them, see `train/data/augmentation.py`.
    """

    augmentation = Augmentation()
    range_is_whole = True
    _range = None

    def with_augmentation(self, augmentation: Augmentation) -> "Split":
        """The same split with another `augmentation`."""
        split = copy.copy(self)
        split.augmentation = augmentation
        return split

    def steps_per_epoch(self, batch_size: int) -> int:
        return self.num_examples // batch_size

    def epoch(self, epoch: int, batch_size: int, seed: int, skip: int = 0) -> tf.data.Dataset:
        """The training batches of one epoch, shuffled and augmented; the incomplete last one is
        dropped.

        Args:
          epoch: number of the epoch, from 0.
          batch_size: global batch size.
          seed: int.
          skip: batches at its beginning to leave out (already trained on).

        Returns:
          `tf.data.Dataset` of batches.
        """
        steps = self.steps_per_epoch(batch_size)
        batches = self._shuffled_batches(epoch, batch_size, seed, skip)
        seeded = _add_seeds(batches, batch_size, seed, first_step=epoch * steps + skip)
        augmented = self._augmented(seeded)
        return augmented.with_options(SHARE_BATCHES).prefetch(tf.data.AUTOTUNE)

    def _augmented(self, batches):
        if self.augmentation == Augmentation(num_levels=self.augmentation.num_levels):
            return batches
        return batches.map(self.augmentation.train, num_parallel_calls=tf.data.AUTOTUNE)

    def _shuffled_batches(self, epoch, batch_size, seed, skip):
        raise NotImplementedError

    def value_range(self) -> tuple[int, int]:
        """Lowest and highest level, before augmentation; of a split whose `range_is_whole` is
        False those of its first images, as many as show that it is not constant."""
        if self._range is None:
            self._range = self._find_range()
        return self._range

    def _find_range(self):
        raise NotImplementedError

    def in_order(self, batch_size: int) -> tf.data.Dataset:
        """Every image once, in order, not augmented (crops are from the centre, and each image
        has one binary draw). The last batch is filled up with zeros.

        Returns:
          `tf.data.Dataset` of batches with `weights` (float32 `[B]`): 1 for images, 0 for fill.
          Their `seeds` are the same at each call.
        """

        def fill_up(batch):
            present = tf.shape(batch["images"])[0]
            batch = batch | {"weights": tf.ones([present])}

            def pad(tensor):
                missing = [[0, batch_size - present]] + [[0, 0]] * (tensor.shape.rank - 1)
                tensor = tf.pad(tensor, missing)
                return tf.ensure_shape(tensor, [batch_size, *tensor.shape[1:]])

            return {key: pad(value) for key, value in batch.items()}

        batches = self._ordered_batches(batch_size).map(fill_up)
        if self.augmentation.binarize:
            batches = batches.enumerate().map(
                lambda number, batch: self.augmentation.evaluate(batch, number * batch_size)
            )
        seeded = _add_seeds(batches, batch_size, seed=0, first_step=0)
        return seeded.with_options(SHARE_BATCHES).prefetch(tf.data.AUTOTUNE)

    def _ordered_batches(self, batch_size):
        raise NotImplementedError

    def first_shuffled(self, count: int, seed: int) -> dict[str, tf.Tensor]:
        """The batch for the data-dependent initialisation: `count` random images."""
        count = min(count, self.num_examples)
        batches = self._shuffled_batches(0, count, seed, skip=0).take(1)
        seeded = _add_seeds(batches, count, seed, first_step=0)
        return next(iter(self._augmented(seeded)))


def _add_seeds(batches, batch_size, seed, first_step):
    """Adds `seeds` to each batch: those of (seed, step, position in the batch)."""

    def add(number, batch):
        return batch | {"seeds": batch_places(step_seed(seed, first_step + number), batch_size)}

    return batches.enumerate().map(lambda n, batch: add(tf.cast(n, tf.int32), batch))


class IndexedSplit(Split):
    """A split whose images can be had by their number: shuffling needs no buffer, and a batch is
    computed from its number."""

    def _reader(self) -> Callable:
        """Function `(indices, seeds) -> batch` of the images with these numbers, `indices` int32
        `[B]`; `seeds` (int32 `[B, 3]`) choose random crops, None those of the centre."""
        raise NotImplementedError

    def _shuffled_batches(self, epoch, batch_size, seed, skip):
        read = self._reader()
        steps = self.num_examples // batch_size

        def take(number):
            positions = number * batch_size + tf.range(batch_size)
            indices = tf.random.experimental.index_shuffle(
                positions, seed=[seed, epoch], max_index=self.num_examples - 1
            )
            seeds = batch_places(step_seed(seed, epoch * steps + number), batch_size)
            return read(indices, seeds)

        return tf.data.Dataset.range(skip, steps, output_type=tf.int32).map(
            take, num_parallel_calls=tf.data.AUTOTUNE
        )

    def chosen(
        self, choose: Callable[[int], np.ndarray], num_batches: int, batch_size: int, seed: int
    ) -> tf.data.Dataset:
        """Batches of images chosen by number, augmented.

        Args:
          choose: function of the number of a batch, from 0, that gives int32 `[batch_size]`.
          num_batches: how many.
          batch_size: images of each.
          seed: int, of crops and augmentation.
        """
        read = self._reader()

        def take(number):
            indices = tf.numpy_function(choose, [number], tf.int32, stateful=False)
            indices = tf.ensure_shape(indices, [batch_size])
            seeds = batch_places(step_seed(seed, number), batch_size)
            return read(indices, seeds) | {"seeds": seeds}

        numbers = tf.data.Dataset.range(num_batches, output_type=tf.int32)
        batches = numbers.map(take, num_parallel_calls=tf.data.AUTOTUNE)
        return self._augmented(batches).prefetch(tf.data.AUTOTUNE)

    def _ordered_batches(self, batch_size):
        read = self._reader()
        numbers = tf.data.Dataset.range(self.num_examples, output_type=tf.int32).batch(batch_size)
        return numbers.map(lambda indices: read(indices, None), num_parallel_calls=tf.data.AUTOTUNE)


def constants(**arrays):
    """Tensors of arrays in the host's memory, without those that are None."""
    with tf.device("CPU:0"):
        return {key: tf.constant(value) for key, value in arrays.items() if value is not None}


class ArraySplit(IndexedSplit):
    """A split in memory, of images of one size.

    Args:
      images: uint8 or uint16 `[N, H, W, C]`.
      labels: int32 `[N]`, or None.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray | None = None):
        self.images = images
        self.labels = labels
        self.num_examples = len(images)
        self.image_shape = tuple(images.shape[1:])

    def map_images(self, function: Callable) -> "ArraySplit":
        """The split with `function` (of arrays or tensors) applied to its images."""
        return ArraySplit(function(self.images), self.labels)

    def _find_range(self):
        return int(self.images.min()), int(self.images.max())

    def crop(self, size: tuple[int, int]) -> "PackedSplit":
        """The split with crops `(H, W)` of its images."""
        return PackedSplit.of_images(self.images, self.labels, size)

    def _reader(self):
        tensors = constants(images=self.images, labels=self.labels)
        return lambda indices, seeds: {k: tf.gather(v, indices) for k, v in tensors.items()}


class PackedSplit(IndexedSplit):
    """A split in memory, of images of any size, from which crops of one size are taken.

    Args:
      pixels: uint8 or uint16 `[P, C]`: the pixels of all images, row by row, one after the other.
      sizes: int32 `[N, 2]`, height and width of each.
      labels: int32 `[N]`, or None.
      size: `(H, W)` of the crops, at most the smallest height and width.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        sizes: np.ndarray,
        labels: np.ndarray | None,
        size: tuple[int, int],
    ):
        self.pixels = pixels
        self.sizes = np.asarray(sizes, np.int32)
        self.labels = labels
        self.size = tuple(size)
        self.num_examples = len(sizes)
        self.image_shape = (*self.size, pixels.shape[1])

    @classmethod
    def of_images(cls, images, labels, size) -> "PackedSplit":
        """Of a sequence of images `[h, w, C]`."""
        channels = images[0].shape[-1]
        pixels = np.concatenate([image.reshape(-1, channels) for image in images])
        return cls(pixels, np.array([image.shape[:2] for image in images]), labels, size)

    def map_images(self, function: Callable) -> "PackedSplit":
        """The split with `function` (of arrays, value by value) applied to its images."""
        return PackedSplit(function(self.pixels), self.sizes, self.labels, self.size)

    def _find_range(self):
        return int(self.pixels.min()), int(self.pixels.max())

    def _reader(self):
        areas = self.sizes.prod(axis=1, dtype=np.int64)
        tensors = constants(
            pixels=self.pixels,
            sizes=self.sizes,
            begins=np.cumsum(areas) - areas,
            labels=self.labels,
        )
        rows, columns = (tf.range(n, dtype=tf.int64) for n in self.size)

        def read(indices, seeds):
            heights, widths = tf.unstack(tf.gather(tensors["sizes"], indices), axis=1)
            top, left = crop_corners(heights, widths, self.size, seeds)
            top, left, widths = (tf.cast(x, tf.int64)[:, None, None] for x in (top, left, widths))
            begins = tf.gather(tensors["begins"], indices)[:, None, None]
            places = begins + (top + rows[:, None]) * widths + left + columns  # [B, H, W]
            batch = {"images": tf.gather(tensors["pixels"], places)}
            if self.labels is not None:
                batch["labels"] = tf.gather(tensors["labels"], indices)
            return batch

        return read


def crop_one(image: tf.Tensor, size: tuple[int, int], seed: tf.Tensor | None) -> tf.Tensor:
    """A crop `(H, W)` of an image `[h, w, C]`; `seed` (`[3]`, a row of `seeds`) places it, None or
    an empty one in the centre."""
    height, width, channels = tf.unstack(tf.shape(image))
    fits = tf.logical_and(height >= size[0], width >= size[1])
    tf.debugging.Assert(
        fits, [f"UserError: --crop={size[0]}x{size[1]}: an image is smaller:", height, width]
    )
    seeds = None if seed is None or seed.shape[0] == 0 else seed[None]
    top, left = crop_corners(height[None], width[None], size, seeds)
    crop = tf.slice(image, tf.stack([top[0], left[0], 0]), tf.stack([*size, channels]))
    crop.set_shape([*size, image.shape[-1]])
    return crop


class StreamedSplit(Split):
    """A split too large for memory, read in the order of its files: they and a buffer of images
    are shuffled.

    Continuing inside an epoch is exact too, but reads again what that epoch had read.

    Args:
      read: function `(shuffle_seed or None) -> tf.data.Dataset` of single examples.
      num_examples: number of images.
      image_shape: `(H, W, C)` of all, or of their crops.
      size: `(H, W)` of crops, or None.
    """

    range_is_whole = False

    def __init__(
        self,
        read: Callable[[int | None], tf.data.Dataset],
        num_examples: int,
        image_shape: tuple,
        size: tuple[int, int] | None = None,
    ):
        self.read = read
        self.num_examples = num_examples
        self.image_shape = tuple(image_shape)
        self.size = size

    def map_images(self, function: Callable) -> "StreamedSplit":
        """The split with `function` (of arrays or tensors) applied to its images."""

        def read(shuffle_seed):
            return self.read(shuffle_seed).map(lambda x: x | {"images": function(x["images"])})

        return StreamedSplit(read, self.num_examples, self.image_shape, self.size)

    def _find_range(self):
        lowest, highest = np.inf, -np.inf
        for number, example in enumerate(self.read(None).as_numpy_iterator()):
            if number >= LOOKED_AT and lowest < highest:
                break
            lowest = min(lowest, example["images"].min())
            highest = max(highest, example["images"].max())
        return int(lowest), int(highest)

    def crop(self, size: tuple[int, int]) -> "StreamedSplit":
        """The split with crops `(H, W)` of its images."""
        return StreamedSplit(
            self.read, self.num_examples, (*size, self.image_shape[-1]), tuple(size)
        )

    def _shuffled_batches(self, epoch, batch_size, seed, skip):
        mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0] >> 1)
        examples = self.read(mixed)
        if self.size is not None:
            # Before they are shuffled, so that the buffer holds crops. The place that keys a crop
            # is that in the order of the files.
            def crop(number, example):
                place = tf.cast(number, tf.int32)
                seed_of_epoch = tf.random.fold_in(tf.constant([seed, 1]), epoch)
                row = tf.concat([seed_of_epoch, place[None]], axis=0)
                return example | {"images": crop_one(example["images"], self.size, row)}

            examples = examples.enumerate().map(crop, num_parallel_calls=tf.data.AUTOTUNE)
        shuffled = examples.shuffle(SHUFFLE_BUFFER, seed=mixed)
        return shuffled.batch(batch_size, drop_remainder=True).skip(skip)

    def _ordered_batches(self, batch_size):
        examples = self.read(None)
        if self.size is not None:
            examples = examples.map(
                lambda x: x | {"images": crop_one(x["images"], self.size, None)}
            )
        return examples.batch(batch_size)
