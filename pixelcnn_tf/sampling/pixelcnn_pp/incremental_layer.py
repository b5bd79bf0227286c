"""The layers of PixelCNN++, one row and one pixel at a time.

The image pass (`layer(x)`) computes all pixels at once. A sampler knows only the pixels so far,
so it runs each layer in two parts, made from the same weights:

- `row`: once a row, everything that earlier rows decide: the whole vertical stream, and of the
  horizontal stream the upper two taps of its 2x2 convolutions, the parts from the vertical
  stream, and the biases. One matrix product a convolution, for all columns together.
- `pixel`: once a pixel, what remains: the taps [left, here] of the horizontal stream.

Rows are laid out `[W, B, C]`, so that a pixel `[B, C]` is one contiguous slice. Every value is
kept after its nonlinearity, so that it is computed once.
"""

import tensorflow as tf

from pixelcnn_tf.layers.nonlinearities import Value


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
    """A layer as the sampler runs it: a part of it a row, the rest a pixel.

    Args:
      layer: the layer of the network.
      name: key of its weights, conditions and state.
      in_stage: stage of its input: 0 is full resolution, 1 half, 2 quarter.
      nonlinearity: that of the residual blocks.

    Attributes:
      stage: of its output.
      prepared_sizes: channels of each value that `row` prepares for `pixel`, at `stage`.
      cached_sizes: channels of each value that `pixel` leaves for the pixel to the right and
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

    def value(self, raw):
        return Value(raw, self.nonlinearity)

    def fold(self):
        """The normalised weights as `row` and `pixel` take them, a nest of tensors."""
        raise NotImplementedError

    def condition(self, h):
        """What the conditioning vector `[B, num_classes]` adds, or None."""
        return None

    def start(self, zeros):
        """The state of the vertical stream before the first row, from `zeros(stage, channels)`,
        or None without one."""
        return None

    def row(self, run, x, a):
        """The row's part; called in rows in which the finer of its two stages has a row.

        Args:
          run: the `RowPass`; its `state` and `prepared` are written to.
          x: `Value` of the row, `[W, B, C]`, or None where its stage has no such row.
          a: the auxiliary inputs, a tuple of such.

        Returns:
          `Value` of the row in the vertical stream, None in the horizontal one.
        """
        return None

    def pixel(self, run, x, a):
        """The pixel's part, likewise: `run` is the `PixelPass`, values are `[B, C]`, and it is the
        vertical stream that gives None."""
        return None
