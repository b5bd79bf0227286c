"""The network's layers, one row and one pixel at a time.

The image pass (`layer(x)`) computes all pixels at once. A sampler knows only the pixels so far,
so it takes each layer in two parts, made from the same weights:

- `row`: once a row, everything that earlier rows decide: the whole vertical stream, and of the
  horizontal stream the upper two taps of its 2x2 convolutions, the parts from the vertical
  stream, and the biases. One matrix product a convolution, for all columns together.
- `pixel`: once a pixel, what remains: the taps [left, here] of the horizontal stream.

Rows are laid out `[W, B, C]`, so that a pixel `[B, C]` is one contiguous slice. Every value is
kept after its nonlinearity, so that it is computed once. `fold()` normalises the weights once,
before the loop; its tensors are handed back as `w`.
"""

import tensorflow as tf

from pixelcnn_tf.layers.gated_resnet import GatedResnet
from pixelcnn_tf.layers.input_streams import HorizontalInput, VerticalInput
from pixelcnn_tf.layers.shifted_convolutions import (
    DownRightShiftedConv2D,
    DownRightShiftedConv2DTranspose,
    DownShiftedConv2D,
    DownShiftedConv2DTranspose,
)


def from_left(row):
    """`row[x - 1]` at x, zero at the left edge: `[W, B, C]` -> `[W, B, C]`."""
    return tf.pad(row[:-1], [[1, 0], [0, 0], [0, 0]])


def from_right(row):
    """`row[x + 1]` at x, zero at the right edge: `[W, B, C]` -> `[W, B, C]`."""
    return tf.pad(row[1:], [[0, 1], [0, 0], [0, 0]])


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


def interleave(even, odd):
    """Rows of the even and of the odd columns, `[W, B, C]` each -> `[2 W, B, C]`."""
    pairs = tf.stack([even, odd], axis=1)
    return tf.reshape(pairs, [2 * even.shape[0], -1, even.shape[-1]])


class Value:
    """What a layer gave, and, computed when first asked for, the nonlinearity of it."""

    def __init__(self, raw, nonlinearity):
        self.raw = raw
        self._nonlinearity = nonlinearity
        self._activated = None

    @property
    def activated(self):
        if self._activated is None:
            self._activated = self._nonlinearity(self.raw)
        return self._activated


class VerticalResnetSteps:
    """`GatedResnet` of the vertical stream."""

    def __init__(self, layer):
        self.layer = layer
        self.f = layer.nonlinearity

    def fold(self):
        layer = self.layer
        conv, gate = layer.conv_in.kernel(), layer.conv_gate.kernel()
        w = {
            "conv": tf.reshape(conv, [-1, conv.shape[-1]]),  # [6 * C, F], taps in row order
            "bias": layer.conv_in.bias(),
            "gate": tf.reshape(gate, [-1, gate.shape[-1]]),  # [6 * C, 2 * F]
            "gate_bias": layer.conv_gate.bias(),
        }
        if layer.nin is not None:
            w["conv"] = stack_taps(w["conv"], layer.nin.kernel())
            w["bias"] += layer.nin.bias()
        return w

    def start(self, zeros):
        """State before the first row: the two convolutions' inputs in the row above."""
        conv, gate = (c.V.shape[2] for c in (self.layer.conv_in, self.layer.conv_gate))
        return zeros(conv), zeros(gate)

    def row(self, w, state, u, skip, condition):
        """`(Value [W, B, F], state)` of this row.

        Args:
          w: of `fold`.
          state: of `start` or of the row above.
          u: `Value` of this row.
          skip: `Value` of the shortcut, or None.
          condition: `[B, 2 * F]`, or None.
        """
        above, gate_above = state
        x = u.activated
        taps = [from_left(above), above, from_right(above), from_left(x), x, from_right(x)]
        if skip is not None:
            taps.append(skip.activated)
        inner = self.f(product(taps, w["conv"]) + w["bias"])
        taps = [from_left(gate_above), gate_above, from_right(gate_above)]
        taps += [from_left(inner), inner, from_right(inner)]
        gated = product(taps, w["gate"]) + w["gate_bias"]
        return Value(add_gated(u.raw, gated, condition), self.f), (x, inner)


class HorizontalResnetSteps:
    """`GatedResnet` of the horizontal stream."""

    def __init__(self, layer, nonlinearity_width):
        self.layer = layer
        self.f = layer.nonlinearity
        self.width = nonlinearity_width  # 2 for concat_elu, which doubles the channels
        filters = layer.filters
        # What the pixel pass needs of the row pass, and what the next row needs of this one.
        self.prepared_sizes = [filters, 2 * filters]
        self.cached_sizes = [self.width * filters] * 2

    def fold(self):
        layer = self.layer
        conv, gate = layer.conv_in.kernel(), layer.conv_gate.kernel()
        from_u, from_skip = self._split_nin(layer.nin.kernel())
        return {
            "above": stack_taps(conv[0, 0], conv[0, 1], from_u),
            "bias": layer.conv_in.bias() + layer.nin.bias(),
            "here": stack_taps(conv[1, 0], conv[1, 1], *from_skip),
            "gate_above": stack_taps(gate[0, 0], gate[0, 1]),
            "gate_bias": layer.conv_gate.bias(),
            "gate_here": stack_taps(gate[1, 0], gate[1, 1]),
        }

    def _split_nin(self, kernel):
        """The part of the auxiliary input's matrix for f(u), and, on the way down, for f(skip).

        The image pass applies f to [u, skip] together; concat_elu then orders its output
        [u, skip, -u, -skip].
        """
        filters = self.layer.filters
        if kernel.shape[0] == self.width * filters:
            return kernel, []
        blocks = tf.split(kernel, 2 * self.width)
        return tf.concat(blocks[0::2], axis=0), [tf.concat(blocks[1::2], axis=0)]

    def row(self, w, cached, u, condition):
        """Prepares a row: `[W, B, F]` and `[W, B, 2 * F]` for the two convolutions.

        Args:
          w: of `fold`.
          cached: both convolutions' inputs in the row above, `[W, B, ...]` each.
          u: `Value` of the vertical stream in this row.
          condition: `[B, 2 * F]`, or None.
        """
        above, gate_above = cached
        conv = product([from_left(above), above, u.activated], w["above"]) + w["bias"]
        gate = product([from_left(gate_above), gate_above], w["gate_above"]) + w["gate_bias"]
        return conv, gate if condition is None else gate + condition

    def pixel(self, w, prepared, left, ul, skip):
        """`(Value [B, F], cached)` of a pixel.

        Args:
          w: of `fold`.
          prepared: the pixel's slice of what `row` gave.
          left: `cached` of the pixel to the left.
          ul: `Value` of the pixel.
          skip: `Value` of its shortcut, or None.
        """
        taps = [left[0], ul.activated]
        if skip is not None:
            taps.append(skip.activated)
        inner = self.f(product(taps, w["here"]) + prepared[0])
        gated = product([left[1], inner], w["gate_here"]) + prepared[1]
        return Value(add_gated(ul.raw, gated, None), self.f), (ul.activated, inner)


def add_gated(x, gated, condition):
    """`x + a * sigmoid(b)` for `gated = [a, b]`, the end of the block (`GatedResnet.call`)."""
    if condition is not None:
        gated = gated + condition
    value, gate = tf.split(gated, 2, axis=-1)
    return x + value * tf.sigmoid(gate)


class VerticalHalveSteps:
    """Stride-2 `DownShiftedConv2D`: output row y sees rows 2y - 1 and 2y of its raw input."""

    def __init__(self, layer):
        self.layer = layer

    def fold(self):
        kernel = self.layer.kernel()
        return {"conv": tf.reshape(kernel, [-1, kernel.shape[-1]]), "bias": self.layer.bias()}

    def row(self, w, above, here):
        """`[W / 2, B, F]` from the raw rows 2y - 1 and 2y, `[W, B, F]` each."""
        taps = [tap for row in (above, here) for tap in (from_left(row)[::2], row[::2], row[1::2])]
        return product(taps, w["conv"]) + w["bias"]


class VerticalDoubleSteps:
    """`DownShiftedConv2DTranspose`: output rows 2y and 2y + 1 come from row y."""

    def __init__(self, layer):
        self.layer = layer

    def fold(self):
        return {"taps": taps_of_transpose(self.layer), "bias": self.layer.bias()}

    def row(self, w, low, parity):
        """Row `2y + parity`, `[2 W, B, F]`, from the raw row y, `[W, B, F]`."""
        left, middle, right = w["taps"][parity]
        even = product([low], middle)
        odd = product([low, from_right(low)], stack_taps(right, left))
        return interleave(even, odd) + w["bias"]


def taps_of_transpose(layer):
    """`taps[i][j]`, `[C, F]`, of a transposed convolution's kernel `[rows, columns, F, C]`."""
    kernel = tf.transpose(layer.kernel(), [0, 1, 3, 2])
    return [tf.unstack(row) for row in tf.unstack(kernel)]


class HorizontalHalveSteps:
    """Stride-2 `DownRightShiftedConv2D`: output (y, x) sees rows 2y - 1, 2y, columns 2x - 1, 2x."""

    def __init__(self, layer):
        self.layer = layer
        self.prepared_sizes = [layer.filters]
        self.cached_sizes = [layer.filters]  # of its input, at the higher resolution

    def fold(self):
        kernel = self.layer.kernel()
        return {
            "above": stack_taps(kernel[0, 0], kernel[0, 1]),
            "here": stack_taps(kernel[1, 0], kernel[1, 1]),
            "bias": self.layer.bias(),
        }

    def row(self, w, above):
        """`[W / 2, B, F]` from the raw row 2y - 1, `[W, B, F]`."""
        return product([from_left(above)[::2], above[::2]], w["above"]) + w["bias"]

    def pixel(self, w, prepared, left, ul):
        """`[B, F]` from the raw pixels at columns 2x - 1 and 2x."""
        return product([left, ul], w["here"]) + prepared


class HorizontalDoubleSteps:
    """`DownRightShiftedConv2DTranspose`: each output pixel comes from one input pixel."""

    def __init__(self, layer):
        self.layer = layer
        self.prepared_sizes = [layer.filters]  # in odd rows
        self.cached_sizes = [layer.filters]  # of its input, at the lower resolution

    def fold(self):
        return {"taps": taps_of_transpose(self.layer), "bias": self.layer.bias()}

    def row(self, w, low):
        """Row 2y + 1, `[2 W, B, F]`, from the finished raw row y, `[W, B, F]`."""
        even, odd = (product([low], tap) for tap in w["taps"][1])
        return interleave(even, odd) + w["bias"]

    def pixel(self, w, low, parity):
        """The pixel of column `2x + parity` in row 2y from the raw pixel x of row y."""
        return product([low], w["taps"][0][parity]) + w["bias"]


class VerticalInputSteps:
    """`VerticalInput`: row r from the image's rows r - 2 and r - 1 (with their ones)."""

    def __init__(self, layer):
        self.layer = layer

    def fold(self):
        kernel = self.layer.above.kernel()
        return {"conv": tf.reshape(kernel, [-1, kernel.shape[-1]]), "bias": self.layer.above.bias()}

    def row(self, w, image_rows, not_first):
        """`[W, B, F]`; `not_first` is 0.0 in row 0, which the shift leaves exactly zero."""
        taps = [tap for row in image_rows for tap in (from_left(row), row, from_right(row))]
        return (product(taps, w["conv"]) + w["bias"]) * not_first


class HorizontalInputSteps:
    """`HorizontalInput`: from the image's row above, and the pixel to the left."""

    def __init__(self, layer):
        self.layer = layer
        self.prepared_sizes = [layer.filters]

    def fold(self):
        above, left = self.layer.above.kernel(), self.layer.left.kernel()
        return {
            "above": tf.reshape(above, [-1, above.shape[-1]]),
            "above_bias": self.layer.above.bias(),
            "left_above": left[0, 0],
            "left_here": left[1, 0],
            "left_bias": self.layer.left.bias(),
        }

    def row(self, w, image_row_above, not_first):
        """`[W, B, F]`; row 0 has no part from above, column 0 none from the left."""
        row = image_row_above
        above = product([from_left(row), row, from_right(row)], w["above"]) + w["above_bias"]
        left = from_left(product([row], w["left_above"]) + w["left_bias"])
        return above * not_first + left

    def pixel(self, w, prepared, left_pixel):
        """`[B, F]`; `left_pixel` is the image's pixel with its one, zeros in column 0."""
        return product([left_pixel], w["left_here"]) + prepared


def steps_of(layer, nonlinearity_width):
    """The row and pixel steps of a layer of the network's body."""
    if isinstance(layer, GatedResnet):
        if layer.stream == "vertical":
            return VerticalResnetSteps(layer)
        return HorizontalResnetSteps(layer, nonlinearity_width)
    return {
        VerticalInput: VerticalInputSteps,
        HorizontalInput: HorizontalInputSteps,
        DownShiftedConv2D: VerticalHalveSteps,
        DownRightShiftedConv2D: HorizontalHalveSteps,
        DownShiftedConv2DTranspose: VerticalDoubleSteps,
        DownRightShiftedConv2DTranspose: HorizontalDoubleSteps,
    }[type(layer)](layer)
