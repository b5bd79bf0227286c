"""PixelCNN++ one pixel at a time; see `pixelcnn_tf.sampling.steps`.

The same layers as in `cached_sampler.py`, with the loops over rows and columns in Python.
"""

import tensorflow as tf

from pixelcnn_tf.sampling.pixelcnn_pp.condition_maps import row_conditions
from pixelcnn_tf.sampling.pixelcnn_pp.row_and_pixel_pass import (
    PixelPass,
    RowPass,
    pack,
    row_above,
    unpack,
)


def with_one(pixels, dtype):
    """Pixels `[..., C]` with the channel of ones."""
    pixels = tf.cast(pixels, dtype)
    return tf.concat([pixels, tf.ones_like(pixels[..., :1])], axis=-1)


class Functions:
    """The functions of a row and of a pixel, compiled once per model for any batch size.

    Args:
      sampler: the model's `CachedSampler`.
      jit_compile: compile with XLA.
    """

    def __init__(self, sampler, jit_compile=False):
        self.sampler = sampler
        self.weights = sampler.normalized_weights()
        self.jit_compile = jit_compile
        self.compiled = {}
        self.preparing = {}  # (row phase, stage) -> layers, set when the row is traced

    def _compile(self, key, function):
        if key not in self.compiled:
            self.compiled[key] = tf.function(
                function, autograph=False, jit_compile=self.jit_compile
            )
        return self.compiled[key]

    def stages(self, row_phase):
        """The stages that are active in a row of this phase."""
        return [s for s in range(self.sampler.model.num_stages) if row_phase % 2**s == 0]

    def begin_row(self, phase, conditions, vertical, cached, image, not_first):
        """The part per row of every layer.

        Args:
          phase: row modulo the period.
          conditions: the result of `CachedSampler.conditions`.
          vertical: name of a layer -> its state.
          cached: by stage, `[W, B, size]`, the cached values of the row above.
          image: the two rows above, `[W, B, C + 1]`, nearest first.
          not_first: 0.0 in row 0, else 1.0.

        Returns:
          `(prepared, vertical)`: by active stage `[W, B, size]`, and the new state.
        """
        phase = 1 if phase % 2 else phase  # all odd rows are computed alike

        def run(conditions, vertical, cached, image, not_first):
            sampler = self.sampler
            row = RowPass(
                sampler.layers,
                self.weights,
                conditions,
                dict(vertical),
                *row_above(cached, sampler.caching),
                phase,
                not_first,
            )
            sampler.model.walk(image, row)
            for stage in self.stages(phase):
                layers = [x for x in sampler.preparing[stage] if x.name in row.prepared]
                self.preparing[phase, stage] = layers
            prepared = [pack(row.prepared, self.preparing[phase, s]) for s in self.stages(phase)]
            return prepared, row.state

        function = self._compile(("row", phase), run)
        return function(conditions, vertical, cached, image, not_first)

    def pixel(self, row_phase, phase, prepared, place, left, left_pixel):
        """The part per pixel of every layer.

        Args:
          row_phase, phase: row and column modulo the period.
          prepared: a result of `begin_row`.
          place: int32 scalar, the column.
          left: by active stage `[B, size]`, the cached values of the pixel to the left.
          left_pixel: `[B, C]`; ignored in column 0.

        Returns:
          `(parameters [B, P], left)`.
        """
        row_phase = 1 if row_phase % 2 else row_phase
        phase = 1 if phase % 2 else phase

        def run(prepared, place, left, left_pixel):
            sampler, stages = self.sampler, self.stages(row_phase)
            here, seen = {}, {}
            inside = tf.cast(place > 0, sampler.model.compute_dtype)  # else padding
            left_pixel = with_one(left_pixel, sampler.model.compute_dtype) * inside
            for stage, tensor, packed in zip(stages, prepared, left, strict=True):
                seen |= unpack(packed, sampler.caching[stage], "cached_sizes")
                if phase % 2**stage == 0:
                    values = tf.gather(tensor, place // 2**stage)
                    here |= unpack(values, self.preparing[row_phase, stage], "prepared_sizes")
            pixel = PixelPass(sampler.layers, self.weights, here, seen, None, row_phase, phase)
            parameters = sampler.model.walk(left_pixel, pixel)
            seen |= pixel.cached
            return parameters, [pack(seen, sampler.caching[stage]) for stage in stages]

        return self._compile(("pixel", row_phase, phase), run)(prepared, place, left, left_pixel)


class PixelSteps:
    """The state of a batch; see `pixelcnn_tf.sampling.steps`.

    Args:
      functions: the model's `Functions`.
      h: the conditioning vector `[B, num_classes]`, or None.
      batch: B.
    """

    def __init__(self, functions, h, batch):
        self.functions, self.sampler = functions, functions.sampler
        self.conditions = self.sampler.conditions(h)
        self.batch = batch
        self.state = self.sampler.start(batch)
        self.dtype = self.sampler.model.compute_dtype

    def __call__(self, images, row, column, channel):
        """The parameters `[B, P]` of a pixel; see `pixelcnn_tf.sampling.steps`."""
        if column == 0:
            self._begin_row(images, row)
        parameters, self.left = self.functions.pixel(
            row % self.sampler.period,
            column % 2 ** self.stages[-1],
            self.prepared,
            tf.constant(column),
            self.left,
            tf.constant(images[:, row, max(column - 1, 0)]),
        )
        for stage, kept in zip(self.stages, self.left, strict=True):
            if column % 2**stage == 0:
                self.kept[stage].append(kept)
        return parameters

    def _begin_row(self, images, row):
        state, missing = self.state, self.sampler.width - images.shape[2]
        if row > 0:
            # Padding at the right: no pixel of the horizontal stream depends on it.
            for stage, kept in self.kept.items():
                added = self.sampler.width // 2**stage - len(kept)
                kept = tf.stack(kept + [tf.zeros_like(kept[0])] * added)
                state["cached"][stage] = kept
            above = tf.transpose(tf.constant(images[:, row - 1]), [1, 0, 2])
            above = with_one(above, self.dtype)
            above = tf.pad(above, [[0, missing], [0, 0], [0, 0]])
            state["image"] = (above, state["image"][0])
        phase = row % self.sampler.period
        self.stages = self.functions.stages(phase)
        self.prepared, state["vertical"] = self.functions.begin_row(
            phase,
            row_conditions(self.conditions, row, phase),
            state["vertical"],
            state["cached"],
            state["image"],
            tf.constant(float(row > 0), self.dtype),
        )
        self.kept = {stage: [] for stage in self.stages}
        size = self.sampler.cached_size
        self.left = [tf.zeros([self.batch, size(stage)], self.dtype) for stage in self.stages]
