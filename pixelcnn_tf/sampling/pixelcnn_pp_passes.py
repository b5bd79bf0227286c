"""The network walked a row and a pixel at a time: the `run`s of the cached sampler.

`PixelCNNPlusPlus.walk` is walked three times: by `Plan`, once, to see what the network is made
of; by `RowPass`, once a row; by `PixelPass`, once a pixel. The stages at half and quarter
resolution have something to do only in every second or fourth row and column: a layer whose
level is not active in a row or pixel gives None.
"""

import tensorflow as tf

from pixelcnn_tf.layers.nonlinearities import get_nonlinearity
from pixelcnn_tf.models.pixelcnn_pp import NUM_STAGES
from pixelcnn_tf.sampling.pixelcnn_pp_steps import (
    HorizontalDoubleSteps,
    HorizontalHalveSteps,
    HorizontalInputSteps,
    HorizontalResnetSteps,
    Value,
    VerticalDoubleSteps,
    VerticalHalveSteps,
    VerticalInputSteps,
    VerticalResnetSteps,
    steps_of,
)


class Plan:
    """What a walk of the network tells: its layers, their steps and resolutions.

    The horizontal layers' prepared values are kept side by side in one tensor a level, likewise
    the values that the next row needs, so that a pixel costs one read and one write a level.

    Args:
      model: a `PixelCNNPlusPlus`.

    Attributes:
      steps: layer -> its steps.
      level: layer -> level of its output: 0 is full, 1 half, 2 quarter resolution.
      name: layer -> name in the nested structures of weights and state.
      nonlinearity: that of the residual blocks.
      prepared: `prepared[level]`, list of horizontal layers whose row step prepares that level.
      cached: `cached[level]`, list of horizontal layers that need the level's row above.
    """

    def __init__(self, model):
        self.nonlinearity = get_nonlinearity(model.resnet_nonlinearity)
        width = self.nonlinearity(tf.zeros([1, 1])).shape[-1]
        self.steps, self.level, self.name, self.head = {}, {}, {}, model.head
        self.prepared = [[] for _ in range(NUM_STAGES)]
        self.cached = [[] for _ in range(NUM_STAGES)]

        def run(layer, x_level, a=None):
            if layer is model.head:
                return None
            steps = self.steps[layer] = steps_of(layer, width)
            self.name[layer] = f"{len(self.name):03}"
            change = {VerticalHalveSteps: 1, HorizontalHalveSteps: 1}
            change |= {VerticalDoubleSteps: -1, HorizontalDoubleSteps: -1}
            level = self.level[layer] = x_level + change.get(type(steps), 0)
            if hasattr(steps, "prepared_sizes"):
                self.prepared[level].append(layer)
            if hasattr(steps, "cached_sizes"):
                self.cached[x_level].append(layer)
            return level

        model.walk(0, run)

    def sizes(self, layers, kind):
        """Channels of each layer's values, in the order in which they stand side by side."""
        return [size for layer in layers for size in getattr(self.steps[layer], kind)]

    def unpack(self, tensor, layers, kind):
        """Splits a level's tensor `[..., sum of sizes]` into `{layer: tuple of its values}`."""
        parts = iter(tf.split(tensor, self.sizes(layers, kind), axis=-1) if layers else ())
        return {
            layer: tuple(next(parts) for _ in getattr(self.steps[layer], kind)) for layer in layers
        }


def pack(values, layers):
    """The inverse of `Plan.unpack`."""
    return tf.concat([part for layer in layers for part in values[layer]], axis=-1)


class RowPass:
    """The `run` that does a row's share of every layer.

    Args:
      plan: `Plan`.
      weights: layer -> folded weights.
      conditions: gated block -> `[B, 2 * F]`, or None.
      state: `{"vertical": {layer: ...}, "cached": [...], "image": (row above, row above that)}`.
      phase: row number modulo 4.
      not_first: 0.0 in row 0, else 1.0.

    Attributes:
      prepared: horizontal layer -> tuple of `[W, B, C]`, for `PixelPass`.
      vertical: the new state of the vertical stream.
    """

    def __init__(self, plan, weights, conditions, state, phase, not_first):
        self.plan = plan
        self.weights = weights
        self.conditions = conditions
        self.image = state["image"]
        self.cached = {}
        for layers, tensor in zip(plan.cached, state["cached"], strict=True):
            self.cached |= plan.unpack(tensor, layers, "cached_sizes")
        self.vertical = dict(state["vertical"])
        self.phase = phase
        self.not_first = not_first
        self.prepared = {}

    def active(self, level):
        """Whether this row has a row of its own at a level."""
        return self.phase % 2**level == 0

    def __call__(self, layer, x, a=None):
        if layer is self.plan.head:
            return None
        steps, w, level = self.plan.steps[layer], self.weights[layer], self.plan.level[layer]
        name = self.plan.name[layer]
        if isinstance(steps, VerticalHalveSteps):
            # x is at the higher resolution; its row is needed again when the next one is halved.
            if x is None:
                return None
            above, self.vertical[name] = self.vertical[name], x.raw
            return self._value(steps.row(w, above, x.raw)) if self.active(level) else None
        if isinstance(steps, VerticalDoubleSteps):
            if x is not None:
                self.vertical[name] = x.raw
            if not self.active(level):
                return None
            return self._value(steps.row(w, self.vertical[name], self.phase // 2**level % 2))
        if not self.active(level):
            return None
        if isinstance(steps, VerticalInputSteps):
            above, before = self.image
            return self._value(steps.row(w, (before, above), self.not_first))
        if isinstance(steps, VerticalResnetSteps):
            skip = a[0] if a else None
            condition = self.conditions.get(layer)
            value, self.vertical[name] = steps.row(w, self.vertical[name], x, skip, condition)
            return value

        if isinstance(steps, HorizontalInputSteps):
            self.prepared[layer] = (steps.row(w, self.image[0], self.not_first),)
        elif isinstance(steps, HorizontalResnetSteps):
            u, condition = a[0], self.conditions.get(layer)
            self.prepared[layer] = steps.row(w, self.cached[layer], u, condition)
        elif isinstance(steps, HorizontalHalveSteps):
            self.prepared[layer] = (steps.row(w, *self.cached[layer]),)
        elif isinstance(steps, HorizontalDoubleSteps):
            if not self.active(level + 1):  # else the pixel pass computes it
                self.prepared[layer] = (steps.row(w, *self.cached[layer]),)
        return None

    def _value(self, raw):
        return Value(raw, self.plan.nonlinearity)


class PixelPass:
    """The `run` that does a pixel's share of every layer.

    Args:
      plan: `Plan`.
      weights: layer -> folded weights.
      prepared: horizontal layer -> tuple of the pixel's slices `[B, C]`.
      left: horizontal layer -> its cached values at the pixel to the left.
      left_pixel: the image's pixel to the left with its one, `[B, C + 1]`.
      head: function that applies the head to `[B, F]`.
      row_phase, column_phase: row and column modulo 4.

    Attributes:
      cached: horizontal layer -> what the pixels to the right and below need.
    """

    def __init__(self, plan, weights, prepared, left, left_pixel, head, row_phase, column_phase):
        self.plan = plan
        self.weights = weights
        self.prepared = prepared
        self.left = left
        self.left_pixel = left_pixel
        self.head = head
        self.row_phase = row_phase
        self.column_phase = column_phase
        self.cached = {}

    def active(self, level):
        """Whether this pixel has a pixel of its own at a level."""
        return self.row_phase % 2**level == 0 and self.column_phase % 2**level == 0

    def __call__(self, layer, x, a=None):
        if layer is self.plan.head:
            return self.head(x.raw)
        steps, w, level = self.plan.steps[layer], self.weights[layer], self.plan.level[layer]
        if isinstance(steps, HorizontalHalveSteps):
            if x is None:
                return None
            self.cached[layer] = (x.raw,)
            if not self.active(level):
                return None
            return self._value(steps.pixel(w, *self.prepared[layer], *self.left[layer], x.raw))
        if isinstance(steps, HorizontalDoubleSteps):
            if x is not None:
                self.cached[layer] = (x.raw,)
            if not self.active(level):
                return None
            if self.row_phase // 2**level % 2:
                return self._value(self.prepared[layer][0])
            low = x.raw if x is not None else self.left[layer][0]
            return self._value(steps.pixel(w, low, self.column_phase // 2**level % 2))
        if not self.active(level):
            return None
        if isinstance(steps, HorizontalInputSteps):
            return self._value(steps.pixel(w, *self.prepared[layer], self.left_pixel))
        if isinstance(steps, HorizontalResnetSteps):
            skip = a[1] if len(a) > 1 else None
            value, self.cached[layer] = steps.pixel(
                w, self.prepared[layer], self.left[layer], x, skip
            )
            return value
        return None  # the vertical stream is the row pass's

    def _value(self, raw):
        return Value(raw, self.plan.nonlinearity)
