"""A split too large for memory, of files that are read when they are needed."""

import copy
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from train.data.splits import IndexedSplit, constants, crop_one


class FileSplit(IndexedSplit):
    """A split of a file for each image, in the order of their numbers or shuffled.

    Args:
      read_image: function `number -> levels [h, w, C]` of one image, run in several threads.
      num_examples: number of images.
      image_shape: `(H, W, C)` of all, or of their crops.
      dtype: of the levels.
      labels: int32 `[N]`, or None.
      size: `(H, W)` of crops, or None.
      value_range: lowest and highest level.
    """

    def __init__(
        self,
        read_image: Callable[[int], np.ndarray],
        num_examples: int,
        image_shape: tuple,
        dtype: np.dtype,
        labels: np.ndarray | None = None,
        size: tuple[int, int] | None = None,
        value_range: tuple[int, int] = (0, 255),
    ):
        self._range = value_range
        self.read_image = read_image
        self.num_examples = num_examples
        self.image_shape = tuple(image_shape)
        self.dtype = np.dtype(dtype)
        self.labels = labels
        self.size = size

    def map_images(self, function: Callable) -> "FileSplit":
        """The split with `function` (of arrays) applied to its images."""
        ends = function(np.array(self._range, self.dtype))
        split = copy.copy(self)
        split.read_image = lambda number: function(self.read_image(number))
        split.dtype, split._range = ends.dtype, tuple(int(end) for end in ends)
        return split

    def _reader(self):
        tensors = constants(labels=self.labels)

        def read_one(args):
            index, seed = args
            image = tf.numpy_function(self.read_image, [index], self.dtype, stateful=False)
            image.set_shape([None, None, self.image_shape[-1]])
            if self.size is not None:
                image = crop_one(image, self.size, seed)
            return tf.ensure_shape(image, self.image_shape)

        def read(indices, seeds):
            drawn = tf.zeros([tf.size(indices), 0], tf.int32) if seeds is None else seeds
            spec = tf.TensorSpec(self.image_shape, self.dtype)
            images = tf.map_fn(
                read_one, (indices, drawn), fn_output_signature=spec, parallel_iterations=8
            )
            batch = {"images": images}
            if self.labels is not None:
                batch["labels"] = tf.gather(tensors["labels"], indices)
            return batch

        return read
