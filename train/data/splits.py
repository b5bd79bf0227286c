"""Batches of a split: a pure function of (seed, epoch, position), so that any step can be
continued exactly.

A batch is a dict of `images` (uint8 or uint16 `[B, H, W, C]`, levels), `labels` (int32 `[B]`,
where there are any) and `seeds` (int32 `[B, 3]`): for each example the step's random seed and its
place in the global batch, which key its dropout whatever replica it lands on.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pixelcnn_tf.random import batch_places

SHUFFLE_BUFFER = 20_000  # images of a streamed split that are shuffled among each other

# Several machines share each batch; the other policy would give each its own files, and with
# them another order.
SHARE_BATCHES = tf.data.Options()
SHARE_BATCHES.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA


class Split:
    """A split of a data set.

    Attributes:
      num_examples: number of images.
      image_shape: `(H, W, C)`.
    """

    def steps_per_epoch(self, batch_size: int) -> int:
        return self.num_examples // batch_size

    def epoch(self, epoch: int, batch_size: int, seed: int, skip: int = 0) -> tf.data.Dataset:
        """The training batches of one epoch, shuffled; the incomplete last one is dropped.

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
        return seeded.with_options(SHARE_BATCHES).prefetch(tf.data.AUTOTUNE)

    def _shuffled_batches(self, epoch, batch_size, seed, skip):
        raise NotImplementedError

    def in_order(self, batch_size: int) -> tf.data.Dataset:
        """Every image once, in order. The last batch is filled up with zeros.

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

        batches = self._ordered_examples().batch(batch_size).map(fill_up)
        seeded = _add_seeds(batches, batch_size, seed=0, first_step=0)
        return seeded.with_options(SHARE_BATCHES).prefetch(tf.data.AUTOTUNE)

    def _ordered_examples(self):
        raise NotImplementedError

    def first_shuffled(self, count: int, seed: int) -> dict[str, tf.Tensor]:
        """The batch for the data-dependent initialisation: `count` random images."""
        batches = self._shuffled_batches(0, min(count, self.num_examples), seed, skip=0)
        return next(iter(batches))


def _add_seeds(batches, batch_size, seed, first_step):
    """Adds `seeds` to each batch: those of (seed, step, position in the batch)."""

    def add(number, batch):
        step_seed = tf.random.fold_in(tf.constant([seed, 0]), first_step + number)
        return batch | {"seeds": batch_places(step_seed, batch_size)}

    return batches.enumerate().map(lambda n, batch: add(tf.cast(n, tf.int32), batch))


class ArraySplit(Split):
    """A split in memory. Shuffling needs no buffer: a batch is computed from its number.

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

    def _tensors(self):
        tensors = {"images": self.images}
        if self.labels is not None:
            tensors["labels"] = self.labels
        with tf.device("CPU:0"):
            return {key: tf.constant(value) for key, value in tensors.items()}

    def _shuffled_batches(self, epoch, batch_size, seed, skip):
        tensors = self._tensors()
        steps = self.num_examples // batch_size

        def take(number):
            positions = number * batch_size + tf.range(batch_size)
            indices = tf.random.experimental.index_shuffle(
                positions, seed=[seed, epoch], max_index=self.num_examples - 1
            )
            return {key: tf.gather(value, indices) for key, value in tensors.items()}

        return tf.data.Dataset.range(skip, steps, output_type=tf.int32).map(
            take, num_parallel_calls=tf.data.AUTOTUNE
        )

    def _ordered_examples(self):
        return tf.data.Dataset.from_tensor_slices(self._tensors())


class StreamedSplit(Split):
    """A split too large for memory: files and a buffer of images are shuffled.

    Continuing inside an epoch is exact too, but reads again what that epoch had read.

    Args:
      read: function `(shuffle_seed or None) -> tf.data.Dataset` of single examples.
      num_examples: number of images.
      image_shape: `(H, W, C)`.
    """

    def __init__(
        self, read: Callable[[int | None], tf.data.Dataset], num_examples: int, image_shape: tuple
    ):
        self.read = read
        self.num_examples = num_examples
        self.image_shape = tuple(image_shape)

    def map_images(self, function: Callable) -> "StreamedSplit":
        """The split with `function` (of arrays or tensors) applied to its images."""

        def read(shuffle_seed):
            return self.read(shuffle_seed).map(lambda x: x | {"images": function(x["images"])})

        return StreamedSplit(read, self.num_examples, self.image_shape)

    def _shuffled_batches(self, epoch, batch_size, seed, skip):
        mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0] >> 1)
        examples = self.read(mixed).shuffle(SHUFFLE_BUFFER, seed=mixed)
        return examples.batch(batch_size, drop_remainder=True).skip(skip)

    def _ordered_examples(self):
        return self.read(None)
