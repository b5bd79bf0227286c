"""The layers of the horizontal stream and the heads: one part per row, the rest per pixel."""

import tensorflow as tf

from pixelcnn_tf.sampling.pixelcnn_pp.incremental_layer import (
    IncrementalLayer,
    add_gated,
    all_taps,
    from_left,
    interleave,
    product,
    stack_taps,
    taps_of_rows,
    taps_of_transpose,
    with_neighbours,
)


class HorizontalInputLayer(IncrementalLayer):
    """`HorizontalInput`: from the image's row above, and the pixel to the left."""

    @property
    def prepared_sizes(self):
        return (self.layer.filters,)

    def normalized_weights(self):
        left_above, left_here = taps_of_rows(self.layer.left.kernel())
        return {
            "above": all_taps(self.layer.above),
            "above_bias": self.layer.above.bias(),
            "left_above": left_above,
            "left_here": left_here,
            "left_bias": self.layer.left.bias(),
        }

    def row(self, run, x, a):
        """Row 0 gets nothing from above, column 0 nothing from the left."""
        w, (row, _) = run.weights[self.name], x
        above = product([with_neighbours(row)], w["above"]) + w["above_bias"]
        left = from_left(product([row], w["left_above"]) + w["left_bias"])
        run.prepared[self.name] = (above * run.not_first + left,)

    def pixel(self, run, x, a):
        """`x` is the image's pixel to the left with its one; zeros in column 0."""
        w, (prepared,) = run.weights[self.name], run.prepared[self.name]
        return self.lazy(product([x], w["left_here"]) + prepared)


class HorizontalResnetLayer(IncrementalLayer):
    """`GatedResnet` of the horizontal stream; its auxiliary inputs are u and, in the down pass, the
    shortcut."""

    @property
    def prepared_sizes(self):
        return self.layer.filters, 2 * self.layer.filters

    @property
    def cached_sizes(self):
        return (self.layer.nin.widening * self.layer.filters,) * 2

    def normalized_weights(self):
        layer = self.layer
        above, row = taps_of_rows(layer.conv_in.kernel())
        left, here = tf.split(row, 2)
        gate_above, gate_row = taps_of_rows(layer.conv_gate.kernel())
        gate_left, gate_here = tf.split(gate_row, 2)
        # For f(u), and in the down pass for f(shortcut).
        from_u, *from_skip = layer.nin.kernels(layer.nin.kernel())
        return {
            "above": stack_taps(above, from_u),
            "bias": layer.conv_in.bias() + layer.nin.bias(),
            "left": stack_taps(left, *from_skip),
            "here": here,
            "gate_above": gate_above,
            "gate_bias": layer.conv_gate.bias(),
            "gate_left": gate_left,
            "gate_here": gate_here,
        }

    def condition(self, h):
        return self.layer.condition(h)

    def row(self, run, x, a):
        w, (above, gate_above) = run.weights[self.name], run.cached[self.name]
        left, gate_left = run.cached_left[self.name]
        condition, u = run.condition(self), a[0].activated
        conv = product([left, above, u], w["above"]) + w["bias"]
        gate = product([gate_left, gate_above], w["gate_above"]) + w["gate_bias"]
        run.prepared[self.name] = conv, gate if condition is None else gate + condition

    def pixel(self, run, x, a):
        w, (conv, gate) = run.weights[self.name], run.prepared[self.name]
        left, gate_left = run.left[self.name]
        # Separate products of everything known before `x`: a second thread can compute them while
        # the first thread runs the layers before this one.
        known = product([left, *(skip.activated for skip in a[1:])], w["left"]) + conv
        gate_known = product([gate_left], w["gate_left"]) + gate
        inner = self.nonlinearity(product([x.activated], w["here"]) + known)
        gated = product([inner], w["gate_here"]) + gate_known
        run.cached[self.name] = x.activated, inner
        return self.lazy(add_gated(x.raw, gated))


class HorizontalHalveLayer(IncrementalLayer):
    """Stride-2 `DownRightShiftedConv2D`: output (y, x) sees rows 2y - 1, 2y, columns 2x - 1, 2x."""

    stage_change = 1

    @property
    def prepared_sizes(self):
        return (self.layer.filters,)

    cached_sizes = prepared_sizes

    def normalized_weights(self):
        above, here = taps_of_rows(self.layer.kernel())
        return {"above": above, "here": here, "bias": self.layer.bias()}

    def row(self, run, x, a):
        if run.active(self.stage):
            w, (above,) = run.weights[self.name], run.cached[self.name]
            (left,) = run.cached_left[self.name]
            taps = [left[::2], above[::2]]
            run.prepared[self.name] = (product(taps, w["above"]) + w["bias"],)

    def pixel(self, run, x, a):
        run.cached[self.name] = (x.raw,)
        if not run.active(self.stage):
            return None
        w, (prepared,), (left,) = (
            each[self.name] for each in (run.weights, run.prepared, run.left)
        )
        return self.lazy(product([left, x.raw], w["here"]) + prepared)


class HorizontalDoubleLayer(IncrementalLayer):
    """`DownRightShiftedConv2DTranspose`: each output pixel comes from one raw input pixel."""

    stage_change = -1

    @property
    def prepared_sizes(self):
        return (self.layer.filters,)  # in odd rows

    cached_sizes = prepared_sizes

    def normalized_weights(self):
        return {"taps": taps_of_transpose(self.layer), "bias": self.layer.bias()}

    def row(self, run, x, a):
        """Row 2y + 1, from the finished row y; row 2y is computed pixel by pixel."""
        if not run.active(self.in_stage):
            w, (low,) = run.weights[self.name], run.cached[self.name]
            even, odd = (product([low], tap) for tap in w["taps"][1])
            run.prepared[self.name] = (interleave(even, odd) + w["bias"],)

    def pixel(self, run, x, a):
        if x is not None:
            run.cached[self.name] = (x.raw,)
        if run.row_phase // 2**self.stage % 2:
            return self.lazy(run.prepared[self.name][0])
        w = run.weights[self.name]
        low = x.raw if x is not None else run.left[self.name][0]
        tap = w["taps"][0][run.column_phase // 2**self.stage % 2]
        return self.lazy(product([low], tap) + w["bias"])


class MixtureHeadLayer(IncrementalLayer):
    """`MixtureHead`: the parameters of a pixel's mixture, `[B, P]`."""

    def normalized_weights(self):
        return {"matrix": self.layer.nin.kernel(), "bias": self.layer.nin.bias()}

    def pixel(self, run, x, a):
        w = run.weights[self.name]
        ul = tf.cast(x.raw, self.layer.compute_dtype)  # float32 in mixed precision
        return tf.matmul(tf.nn.elu(ul), w["matrix"]) + w["bias"]


class EnergyHeadLayer(IncrementalLayer):
    """`EnergyHead`: a sample of a pixel, `[1, B, 1, 1, C]`, from the pixel's uniforms."""

    def normalized_weights(self):
        return {}

    def pixel(self, run, x, a):
        noise = tf.cast(2.0 * run.uniforms - 1.0, self.layer.compute_dtype)
        return self.layer(x.raw[:, None, None, :], noise=noise[None, :, None, None, :])
