"""The layers of the vertical stream, computed row by row; no part per pixel."""

from pixelcnn_tf.sampling.pixelcnn_pp.incremental_layer import (
    IncrementalLayer,
    add_gated,
    all_taps,
    from_left,
    from_right,
    interleave,
    product,
    stack_taps,
    taps_of_transpose,
    with_neighbours,
)


class VerticalInputLayer(IncrementalLayer):
    """`VerticalInput`: row r from the image's rows r - 2 and r - 1 (with the channel of ones)."""

    def normalized_weights(self):
        return {"conv": all_taps(self.layer.above), "bias": self.layer.above.bias()}

    def row(self, run, x, a):
        w, (above, before) = run.weights[self.name], x
        taps = [with_neighbours(before), with_neighbours(above)]
        # After the shift row 0 is exactly zero.
        return self.lazy((product(taps, w["conv"]) + w["bias"]) * run.not_first)


class VerticalResnetLayer(IncrementalLayer):
    """`GatedResnet` of the vertical stream."""

    def normalized_weights(self):
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
        """The two convolutions' inputs in the row above, each `with_neighbours`."""
        layers = self.layer.conv_in, self.layer.conv_gate
        return tuple(zeros(self.stage, 3 * layer.V.shape[2]) for layer in layers)

    def row(self, run, x, a):
        w, (above, gate_above) = run.weights[self.name], run.state[self.name]
        here = with_neighbours(x.activated)
        taps = [above, here, *(skip.activated for skip in a)]
        inner = self.nonlinearity(product(taps, w["conv"]) + w["bias"])
        gate_here = with_neighbours(inner)
        gated = product([gate_above, gate_here], w["gate"]) + w["gate_bias"]
        run.state[self.name] = here, gate_here
        return self.lazy(add_gated(x.raw, gated, run.condition(self)))


class VerticalHalveLayer(IncrementalLayer):
    """Stride-2 `DownShiftedConv2D`: output row y sees rows 2y - 1 and 2y of its raw input."""

    stage_change = 1

    def normalized_weights(self):
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
        return self.lazy(product(taps, w["conv"]) + w["bias"])


class VerticalDoubleLayer(IncrementalLayer):
    """`DownShiftedConv2DTranspose`: output rows 2y and 2y + 1 come from the raw row y."""

    stage_change = -1

    def normalized_weights(self):
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
        return self.lazy(interleave(even, odd) + w["bias"])
