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

from pixelcnn_tf.layers.gated_resnet import GatedResnet
from pixelcnn_tf.layers.heads import EnergyHead, MixtureHead
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


def all_taps(layer):
    """All taps of a convolution in row order, `[rows * columns * C, C']`."""
    kernel = layer.kernel()
    return tf.reshape(kernel, [-1, kernel.shape[-1]])


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


class VerticalInputLayer(IncrementalLayer):
    """`VerticalInput`: row r from the image's rows r - 2 and r - 1 (with their ones)."""

    def fold(self):
        return {"conv": all_taps(self.layer.above), "bias": self.layer.above.bias()}

    def row(self, run, x, a):
        w, (above, before) = run.weights[self.name], x
        taps = [tap for row in (before, above) for tap in (from_left(row), row, from_right(row))]
        # The shift leaves row 0 exactly zero.
        return self.value((product(taps, w["conv"]) + w["bias"]) * run.not_first)


class HorizontalInputLayer(IncrementalLayer):
    """`HorizontalInput`: from the image's row above, and the pixel to the left."""

    @property
    def prepared_sizes(self):
        return (self.layer.filters,)

    def fold(self):
        left = self.layer.left.kernel()
        return {
            "above": all_taps(self.layer.above),
            "above_bias": self.layer.above.bias(),
            "left_above": left[0, 0],
            "left_here": left[1, 0],
            "left_bias": self.layer.left.bias(),
        }

    def row(self, run, x, a):
        """Row 0 has no part from above, column 0 none from the left."""
        w, (row, _) = run.weights[self.name], x
        above = product([from_left(row), row, from_right(row)], w["above"]) + w["above_bias"]
        left = from_left(product([row], w["left_above"]) + w["left_bias"])
        run.prepared[self.name] = (above * run.not_first + left,)

    def pixel(self, run, x, a):
        """`x` is the image's pixel to the left with its one, zeros in column 0."""
        w, (prepared,) = run.weights[self.name], run.prepared[self.name]
        return self.value(product([x], w["left_here"]) + prepared)


class VerticalResnetLayer(IncrementalLayer):
    """`GatedResnet` of the vertical stream."""

    def fold(self):
        layer = self.layer
        w = {
            "conv": all_taps(layer.conv_in),
            "bias": layer.conv_in.bias(),
            "gate": all_taps(layer.conv_gate),
            "gate_bias": layer.conv_gate.bias(),
        }
        if layer.nin is not None:
            w["conv"] = stack_taps(w["conv"], layer.nin.kernel())
            w["bias"] += layer.nin.bias()
        return w

    def condition(self, h):
        return self.layer.condition(h)

    def start(self, zeros):
        """The two convolutions' inputs in the row above."""
        layers = self.layer.conv_in, self.layer.conv_gate
        return tuple(zeros(self.stage, layer.V.shape[2]) for layer in layers)

    def row(self, run, x, a):
        w, (above, gate_above) = run.weights[self.name], run.state[self.name]
        here = x.activated
        taps = [from_left(above), above, from_right(above)]
        taps += [from_left(here), here, from_right(here)]
        taps += [skip.activated for skip in a]
        inner = self.nonlinearity(product(taps, w["conv"]) + w["bias"])
        taps = [from_left(gate_above), gate_above, from_right(gate_above)]
        taps += [from_left(inner), inner, from_right(inner)]
        gated = product(taps, w["gate"]) + w["gate_bias"]
        run.state[self.name] = here, inner
        return self.value(add_gated(x.raw, gated, run.conditions.get(self.name)))


class HorizontalResnetLayer(IncrementalLayer):
    """`GatedResnet` of the horizontal stream; its auxiliary inputs are u and, on the way down, the
    shortcut."""

    @property
    def widening(self):
        """2 for concat_elu, which doubles the channels, else 1."""
        return self.nonlinearity(tf.zeros([1, 1])).shape[-1]

    @property
    def prepared_sizes(self):
        return self.layer.filters, 2 * self.layer.filters

    @property
    def cached_sizes(self):
        return (self.widening * self.layer.filters,) * 2

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
        if kernel.shape[0] == self.widening * self.layer.filters:
            return kernel, []
        blocks = tf.split(kernel, 2 * self.widening)
        return tf.concat(blocks[0::2], axis=0), [tf.concat(blocks[1::2], axis=0)]

    def condition(self, h):
        return self.layer.condition(h)

    def row(self, run, x, a):
        w, (above, gate_above) = run.weights[self.name], run.cached[self.name]
        condition, u = run.conditions.get(self.name), a[0].activated
        conv = product([from_left(above), above, u], w["above"]) + w["bias"]
        gate = product([from_left(gate_above), gate_above], w["gate_above"]) + w["gate_bias"]
        run.prepared[self.name] = conv, gate if condition is None else gate + condition

    def pixel(self, run, x, a):
        w, (conv, gate) = run.weights[self.name], run.prepared[self.name]
        left, gate_left = run.left[self.name]
        taps = [left, x.activated, *(skip.activated for skip in a[1:])]
        inner = self.nonlinearity(product(taps, w["here"]) + conv)
        gated = product([gate_left, inner], w["gate_here"]) + gate
        run.cached[self.name] = x.activated, inner
        return self.value(add_gated(x.raw, gated))


class VerticalHalveLayer(IncrementalLayer):
    """Stride-2 `DownShiftedConv2D`: output row y sees rows 2y - 1 and 2y of its raw input."""

    stage_change = 1

    def fold(self):
        return {"conv": all_taps(self.layer), "bias": self.layer.bias()}

    def start(self, zeros):
        """The row above."""
        return zeros(self.in_stage, self.layer.filters)

    def row(self, run, x, a):
        w = run.weights[self.name]
        above, run.state[self.name] = run.state[self.name], x.raw
        if not run.active(self.stage):
            return None
        rows = (above, x.raw)
        taps = [tap for row in rows for tap in (from_left(row)[::2], row[::2], row[1::2])]
        return self.value(product(taps, w["conv"]) + w["bias"])


class HorizontalHalveLayer(IncrementalLayer):
    """Stride-2 `DownRightShiftedConv2D`: output (y, x) sees rows 2y - 1, 2y, columns 2x - 1, 2x."""

    stage_change = 1

    @property
    def prepared_sizes(self):
        return (self.layer.filters,)

    cached_sizes = prepared_sizes

    def fold(self):
        kernel = self.layer.kernel()
        return {
            "above": stack_taps(kernel[0, 0], kernel[0, 1]),
            "here": stack_taps(kernel[1, 0], kernel[1, 1]),
            "bias": self.layer.bias(),
        }

    def row(self, run, x, a):
        if run.active(self.stage):
            w, (above,) = run.weights[self.name], run.cached[self.name]
            taps = [from_left(above)[::2], above[::2]]
            run.prepared[self.name] = (product(taps, w["above"]) + w["bias"],)

    def pixel(self, run, x, a):
        run.cached[self.name] = (x.raw,)
        if not run.active(self.stage):
            return None
        w, (prepared,), (left,) = (
            each[self.name] for each in (run.weights, run.prepared, run.left)
        )
        return self.value(product([left, x.raw], w["here"]) + prepared)


def taps_of_transpose(layer):
    """`taps[i][j]`, `[C, F]`, of a transposed convolution's kernel `[rows, columns, F, C]`."""
    kernel = tf.transpose(layer.kernel(), [0, 1, 3, 2])
    return [tf.unstack(row) for row in tf.unstack(kernel)]


class VerticalDoubleLayer(IncrementalLayer):
    """`DownShiftedConv2DTranspose`: output rows 2y and 2y + 1 come from the raw row y."""

    stage_change = -1

    def fold(self):
        return {"taps": taps_of_transpose(self.layer), "bias": self.layer.bias()}

    def start(self, zeros):
        """Row y."""
        return zeros(self.in_stage, self.layer.filters)

    def row(self, run, x, a):
        w = run.weights[self.name]
        if x is not None:
            run.state[self.name] = x.raw
        low = run.state[self.name]
        left, middle, right = w["taps"][run.phase // 2**self.stage % 2]
        even = product([low], middle)
        odd = product([low, from_right(low)], stack_taps(right, left))
        return self.value(interleave(even, odd) + w["bias"])


class HorizontalDoubleLayer(IncrementalLayer):
    """`DownRightShiftedConv2DTranspose`: each output pixel comes from one raw input pixel."""

    stage_change = -1

    @property
    def prepared_sizes(self):
        return (self.layer.filters,)  # in odd rows

    cached_sizes = prepared_sizes

    def fold(self):
        return {"taps": taps_of_transpose(self.layer), "bias": self.layer.bias()}

    def row(self, run, x, a):
        """Row 2y + 1 from row y, which is finished; row 2y is the pixels' part."""
        if not run.active(self.in_stage):
            w, (low,) = run.weights[self.name], run.cached[self.name]
            even, odd = (product([low], tap) for tap in w["taps"][1])
            run.prepared[self.name] = (interleave(even, odd) + w["bias"],)

    def pixel(self, run, x, a):
        if x is not None:
            run.cached[self.name] = (x.raw,)
        if run.row_phase // 2**self.stage % 2:
            return self.value(run.prepared[self.name][0])
        w = run.weights[self.name]
        low = x.raw if x is not None else run.left[self.name][0]
        tap = w["taps"][0][run.column_phase // 2**self.stage % 2]
        return self.value(product([low], tap) + w["bias"])


class MixtureHeadLayer(IncrementalLayer):
    """`MixtureHead`: the parameters of a pixel's mixture, `[B, P]`."""

    def fold(self):
        return {"matrix": self.layer.nin.kernel(), "bias": self.layer.nin.bias()}

    def pixel(self, run, x, a):
        w = run.weights[self.name]
        ul = tf.cast(x.raw, self.layer.compute_dtype)  # float32 in mixed precision
        return tf.matmul(tf.nn.elu(ul), w["matrix"]) + w["bias"]


class EnergyHeadLayer(IncrementalLayer):
    """`EnergyHead`: a sample of a pixel, `[1, B, 1, 1, C]`, from the pixel's uniforms."""

    def fold(self):
        return {}

    def pixel(self, run, x, a):
        noise = tf.cast(2.0 * run.uniforms - 1.0, x.raw.dtype)
        return self.layer(x.raw[:, None, None, :], noise=noise[None, :, None, None, :])


INCREMENTAL = {
    VerticalInput: VerticalInputLayer,
    HorizontalInput: HorizontalInputLayer,
    (GatedResnet, "vertical"): VerticalResnetLayer,
    (GatedResnet, "horizontal"): HorizontalResnetLayer,
    DownShiftedConv2D: VerticalHalveLayer,
    DownRightShiftedConv2D: HorizontalHalveLayer,
    DownShiftedConv2DTranspose: VerticalDoubleLayer,
    DownRightShiftedConv2DTranspose: HorizontalDoubleLayer,
    MixtureHead: MixtureHeadLayer,
    EnergyHead: EnergyHeadLayer,
}


def incremental_layers(model):
    """The incremental form of every layer of a `PixelCNNPlusPlus`, in the order of its walk.

    Returns:
      dict layer -> `IncrementalLayer`.
    """
    layers = {}

    def run(layer, in_stage, a=None):
        kind = type(layer)
        kind = (kind, layer.stream) if kind is GatedResnet else kind
        name = f"{len(layers):03}"
        layers[layer] = INCREMENTAL[kind](layer, name, in_stage, nonlinearity)
        return layers[layer].stage

    nonlinearity = model.u_up[0][0].nonlinearity
    model.walk(0, run)
    return layers
