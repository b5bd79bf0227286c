"""The layers of PixelCNN++, one row and one pixel at a time.

The image pass (`layer(x)`) computes all pixels at once. A sampler has only the pixels so far, so it
runs each layer in two parts with the same weights:

- `row`, once per row, computes everything that depends only on earlier rows: the whole vertical
  stream; in the horizontal stream the upper two taps of its 2x2 convolutions, the input from the
  vertical stream, and the biases. One matrix product per convolution, for all columns.
- `pixel`, once per pixel, computes the rest: the taps [left, here] of the horizontal stream.

Rows are laid out `[W, B, C]`, so that a pixel `[B, C]` is one contiguous slice. Values are cached
after their nonlinearity, which is computed once.
"""

import tensorflow as tf

from pixelcnn_tf.layers.nonlinearities import LazyActivation


def from_left(row):
    """`row[x - 1]` at x, zero at the left edge: `[W, B, C]` -> `[W, B, C]`."""
    return tf.pad(row[:-1], [[1, 0], [0, 0], [0, 0]])


def from_right(row):
    """`row[x + 1]` at x, zero at the right edge: `[W, B, C]` -> `[W, B, C]`."""
    return tf.pad(row[1:], [[0, 1], [0, 0], [0, 0]])


def with_neighbours(row):
    """`[row[x - 1], row[x], row[x + 1]]` over channels: `[W, B, C]` -> `[W, B, 3 C]`."""
    padded = tf.pad(row, [[1, 1], [0, 0], [0, 0]])
    return tf.concat([padded[:-2], row, padded[2:]], axis=-1)


def product(parts, matrix):
    """Concatenates rows or pixels over channels and multiplies them by `[C, C']`."""
    x = tf.concat(parts, axis=-1) if len(parts) > 1 else parts[0]
    if x.shape.rank == 2:
        return tf.matmul(x, matrix)
    flat = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), matrix)
    return tf.reshape(flat, [x.shape[0], -1, matrix.shape[-1]])


def stack_taps(*taps):
    """Joins the `[C, C']` matrices of several taps into the matrix of their concatenated inputs."""
    return tf.concat(taps, axis=0)


def all_taps(layer):
    """All taps of a convolution in row order, `[rows * columns * C, C']`."""
    kernel = layer.kernel()
    return tf.reshape(kernel, [-1, kernel.shape[-1]])


def taps_of_rows(kernel):
    """The taps of each row of a kernel `[rows, columns, C, C']`: a list of `[columns * C, C']`."""
    rows, _, _, filters = kernel.shape
    return tf.unstack(tf.reshape(kernel, [rows, -1, filters]))


def taps_of_transpose(layer):
    """`taps[i][j]`, `[C, F]`, of a transposed convolution's kernel `[rows, columns, F, C]`."""
    kernel = tf.transpose(layer.kernel(), [0, 1, 3, 2])
    return [tf.unstack(row) for row in tf.unstack(kernel)]


def interleave(even, odd):
    """Rows of the even and of the odd columns, `[W, B, C]` each -> `[2 W, B, C]`."""
    pairs = tf.stack([even, odd], axis=1)
    return tf.reshape(pairs, [2 * even.shape[0], -1, even.shape[-1]])


def add_gated(x, gated, condition=None):
    """`x + a * sigmoid(b)` for `gated = [a, b]`, the end of the block (`GatedResnet.call`)."""
    if condition is not None:
        gated = gated + condition
    value, gate = tf.split(gated, 2, axis=-1)
    return x + value * tf.sigmoid(gate)


class IncrementalLayer:
    """A layer as the sampler runs it: one part per row, the rest per pixel.

    Args:
      layer: the layer of the network.
      name: key of its weights, conditions and state.
      in_stage: stage of its input: 0 is full resolution, 1 half, 2 quarter.
      nonlinearity: nonlinearity of the residual blocks.

    Attributes:
      stage: stage of its output.
      prepared_sizes: channels of each value that `row` prepares for `pixel`, at `stage`.
      cached_sizes: channels of each value that `pixel` caches for the pixel to the right and
        for the next row, at `in_stage`.
    """

    stage_change = 0
    prepared_sizes = ()
    cached_sizes = ()

    def __init__(self, layer, name, in_stage, nonlinearity):
        self.layer = layer
        self.name = name
        self.in_stage = in_stage
        self.stage = in_stage + self.stage_change
        self.nonlinearity = nonlinearity

    def lazy(self, raw):
        return LazyActivation(raw, self.nonlinearity)

    def normalized_weights(self):
        """The normalised weights in the form that `row` and `pixel` use, a nest of tensors."""
        raise NotImplementedError

    def condition(self, h):
        """The projection of a condition `[..., D]` that the layer adds, or None."""
        return None

    def start(self, zeros):
        """The state of the vertical stream before the first row, made by `zeros(stage, channels)`;
        None for a layer without state."""
        return None

    def row(self, run, x, a):
        """The part per row; called in rows where the finer of its two stages is active.

        Args:
          run: the `RowPass`; its `state` and `prepared` are updated.
          x: `LazyActivation` of the row, `[W, B, C]`; None if its stage is not active in the row.
          a: the auxiliary inputs, a tuple of the same type.

        Returns:
          `LazyActivation` of the row in the vertical stream, None in the horizontal one.
        """
        return None

    def pixel(self, run, x, a):
        """The part per pixel: as `row`, but `run` is the `PixelPass`, values are `[B, C]`, and the
        vertical stream returns None."""
        return None
