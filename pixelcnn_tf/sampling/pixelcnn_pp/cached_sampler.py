"""The cached sampler of PixelCNN++, which computes each value of the network once (after
Ramachandran et al. 2017, "Fast Generation for Convolutional Autoregressive Models").

For every row it runs `PixelCNNPlusPlus.walk` with a `RowPass`, which runs the vertical stream and
prepares the horizontal one, and then for every pixel with a `PixelPass`, which runs the rest of the
horizontal stream; then it samples the pixel.

The loops go over groups of 4 rows and, inside, 4 columns (with 3 stages): the active stages of the
U-Net in each of the 4 x 4 phases are known when the function is traced.
"""

from functools import partial

import tensorflow as tf

from pixelcnn_tf.sampling.pixelcnn_pp import steps
from pixelcnn_tf.sampling.pixelcnn_pp.condition_maps import MAPS, condition_maps, row_conditions
from pixelcnn_tf.sampling.pixelcnn_pp.row_and_pixel_pass import (
    PixelPass,
    RowPass,
    incremental_layers,
    pack,
    row_above,
    unpack,
)


def write(arrays, values):
    """Writes `values`, name -> (index, tensor), to the `tf.TensorArray`s of the same names."""
    return {
        name: array.write(*values[name]) if name in values else array
        for name, array in arrays.items()
    }


class CachedSampler:
    """Samples the pixels of images for one model; its interface: `pixelcnn_tf.sampling.cached`.

    Args:
      model: a `PixelCNNPlusPlus`.

    Attributes:
      layers: layer -> `IncrementalLayer`.
      period: rows and columns after which the phases repeat; rows are sampled in groups of this
        many.
      width: width of the images, padded to a multiple of `period`.
    """

    def __init__(self, model):
        self.model = model
        self.period = model.multiple
        self.width = model.image_shape[1] + -model.image_shape[1] % self.period
        self.layers = incremental_layers(model)
        # The values of a stage's layers are concatenated in one tensor, so that a pixel costs one
        # read and one write per stage.
        every, stages = self.layers.values(), range(model.num_stages)
        self.preparing = [[x for x in every if x.prepared_sizes and x.stage == s] for s in stages]
        self.caching = [[x for x in every if x.cached_sizes and x.in_stage == s] for s in stages]

    def normalized_weights(self):
        """The normalised weights of every layer, a nest of tensors."""
        return {layer.name: layer.normalized_weights() for layer in self.layers.values()}

    def conditions(self, h):
        """The projection of the conditioning vector `[B, num_classes]` in each gated block,
        `[B, 2 F]`; for a map `[B, H, W, D]` the map at every stage, projected row by row later."""
        if h is None:
            return {}
        if h.shape.rank == 4:  # [H, W, B, D], a row is a slice
            maps = condition_maps(h, self.model.num_stages)
            return {MAPS: tuple(tf.transpose(x, [1, 2, 0, 3]) for x in maps)}
        added = {layer.name: layer.condition(h) for layer in self.layers.values()}
        return {name: condition for name, condition in added.items() if condition is not None}

    def start(self, batch):
        """The state before the first row, all zeros, as the padding around the image.

        Returns:
          Dict of `vertical`, by layer; `cached`, the horizontal layers' values in the row above,
          by stage; `image`, the two rows above with the channel of ones.
        """
        channels, width = self.model.image_shape[-1], self.width

        def row(stage, size):
            return tf.zeros([width // 2**stage, batch, size], self.model.compute_dtype)

        vertical = {layer.name: layer.start(row) for layer in self.layers.values()}
        return {
            "vertical": {name: state for name, state in vertical.items() if state is not None},
            "cached": [row(stage, self.cached_size(stage)) for stage in range(len(self.caching))],
            "image": (row(0, channels + 1), row(0, channels + 1)),
        }

    def _with_one(self, pixels, columns):
        """Appends the channel of ones, which is zero where the image is padded.

        Args:
          pixels: `[W, B, C]` of a row, or `[B, C]`.
          columns: their columns, `[W, 1, 1]` or a scalar.
        """
        dtype, width = self.model.compute_dtype, self.model.image_shape[1]
        ones = tf.ones_like(pixels[..., :1])
        if width < self.width:
            ones *= tf.cast(columns < width, pixels.dtype)
        return tf.cast(tf.concat([pixels, ones], axis=-1), dtype)

    def steps(self, jit_compile):
        """The sampler one pixel at a time: a function of `(h, batch)`, see `sampling/steps.py`."""
        return partial(steps.PixelSteps, steps.Functions(self, jit_compile))

    def cached_size(self, stage):
        """Channels that the layers of a stage cache per pixel."""
        return sum(size for layer in self.caching[stage] for size in layer.cached_sizes)

    @tf.autograph.experimental.do_not_convert  # nothing to convert; tracing is 3 times faster
    def fill_rows(self, weights, conditions, state, images, mask, uniforms, rows, options):
        """Samples some rows of a batch of images.

        Args:
          weights: the result of `normalized_weights`.
          conditions: the result of `conditions`.
          state: the result of `start`, or the state after the previous rows.
          images: `[H, W, B, C]`, of any H and W; rows before the first one are complete.
          mask: `[H, W, B, 1]`, 1 where the pixel is given.
          uniforms: `[H, W, B, likelihood.num_uniforms]`.
          rows: int32 `[2]`, the first row to sample, divisible by `period`, and the row after the
            last, divisible by `period` or H.
          options: `(quantize, temperature, keep_parameters)`; the last also returns the
            distribution's parameters at every pixel, for tests.

        Returns:
          `(images, parameters [H, W, B, P] or None, state)`.
        """
        size, dtype = images.shape[:2], self.model.compute_dtype
        images = self._extend(images, 0.0)
        mask, uniforms = self._extend(mask, 1.0), self._extend(uniforms, 0.5)
        height, columns = images.shape[0], tf.reshape(tf.range(self.width), [-1, 1, 1])
        outputs = {"images": tf.TensorArray(images.dtype, height).unstack(images)}
        if options[2]:
            shape = [*images.shape[1:3], self.model.likelihood.num_parameters]
            outputs["parameters"] = tf.TensorArray(
                self.model.head.compute_dtype, height, element_shape=shape
            )

        @partial(tf.function, autograph=False)  # traced once for the pixels of all phases
        def draw(parameters, noise, given, image, temperature):
            sample = self.model.likelihood.sample(parameters, noise, options[0], temperature)
            sample = tf.reshape(tf.cast(sample, image.dtype), [-1, image.shape[-1]])
            return tf.where(given > 0, image, sample)

        draw = partial(draw, temperature=options[1])

        def one_row(phase, row, state):
            """Samples a row: `(images, parameters or None, state)`."""
            run = RowPass(
                self.layers,
                weights,
                row_conditions(conditions, row, phase),
                dict(state["vertical"]),
                *row_above(state["cached"], self.caching),
                phase,
                not_first=tf.cast(row > 0, dtype),
            )
            self.model.walk(state["image"], run)
            sampled = self._row(run, images[row], mask[row], uniforms[row], draw, options[2])
            state = {
                "vertical": run.state,
                "cached": [
                    sampled.get(f"cached {stage}", old) for stage, old in enumerate(state["cached"])
                ],
                "image": (self._with_one(sampled["images"], columns), state["image"][0]),
            }
            return sampled["images"], sampled.get("parameters"), state

        def group(index, outputs, state):
            # In all odd rows only the full resolution is active: they are traced once.
            odd_row = tf.function(partial(one_row, 1), autograph=False)
            for phase in range(self.period):
                row = index * self.period + phase
                run_row = odd_row if phase % 2 else partial(one_row, phase)
                sampled, parameters, state = run_row(row, state)
                values = {"images": (row, sampled), "parameters": (row, parameters)}
                outputs = write(outputs, values)
            return index + 1, outputs, state

        first, last = rows[0] // self.period, -(-rows[1] // self.period)
        _, outputs, state = tf.while_loop(
            lambda index, *_: index < last, group, (first, outputs, state)
        )
        stacked = {name: array.stack() for name, array in outputs.items()}
        stacked["images"] = tf.ensure_shape(stacked["images"], images.shape)
        if size != images.shape[:2]:
            stacked = {name: value[: size[0], : size[1]] for name, value in stacked.items()}
        return stacked["images"], stacked.get("parameters"), state

    def _extend(self, values, fill):
        """Pads `[H, W, B, ?]` to a multiple of `period`, as `image_pass.extend` pads images, with
        given pixels. (No pixel of the image depends on added rows.)"""
        missing = [[0, -size % self.period] for size in values.shape[:2]]
        if missing == [[0, 0], [0, 0]]:
            return values
        return tf.pad(values, [*missing, [0, 0], [0, 0]], constant_values=fill)

    def _row(self, row_pass, images, mask, uniforms, draw, keep):
        """Samples a row.

        Args:
          row_pass: the `RowPass` that has run the network.
          images, mask, uniforms: arguments of `fill_rows`, this row.
          draw: `draw(parameters, uniforms, mask, image)` returns a pixel `[B, C]`.
          keep: whether to keep the parameters.

        Returns:
          Dict of `images` `[W, B, C]`, `parameters` `[W, B, P]` if they are kept, and
          `cached <stage>` for every stage that is active in this row.
        """
        model, dtype = self.model, self.model.compute_dtype
        width, batch, channels = images.shape[0], tf.shape(images)[1], images.shape[-1]
        stages = [stage for stage in range(model.num_stages) if row_pass.active(stage)]
        period = 2 ** stages[-1]  # columns after which the phases of this row repeat
        preparing = {
            stage: [layer for layer in self.preparing[stage] if layer.name in row_pass.prepared]
            for stage in stages
        }
        prepared = {stage: pack(row_pass.prepared, preparing[stage]) for stage in stages}

        def one_pixel(phase, column, left, left_pixel):
            """Samples a pixel: its values for `outputs`, and the inputs of its right neighbour."""
            place = {stage: column // 2**stage for stage in stages if phase % 2**stage == 0}
            here = {}
            for stage in place:
                values = tf.gather(prepared[stage], place[stage])
                here |= unpack(values, preparing[stage], "prepared_sizes")
            noise = tf.gather(uniforms, column)
            run = PixelPass(self.layers, row_pass.weights, here, left, noise, row_pass.phase, phase)
            parameters = model.walk(left_pixel, run)
            pixel = draw(parameters, noise, tf.gather(mask, column), tf.gather(images, column))
            values = {"images": (column, pixel), "parameters": (column, parameters)}
            for stage in place:
                kept = pack(run.cached, self.caching[stage])
                values[f"cached {stage}"] = place[stage], kept
            return values, left | run.cached, self._with_one(pixel, column)

        def group(index, outputs, left, left_pixel):
            odd_pixel = tf.function(partial(one_pixel, 1), autograph=False)  # as odd rows
            for phase in range(period):
                run_pixel = odd_pixel if phase % 2 else partial(one_pixel, phase)
                values, left, left_pixel = run_pixel(index * period + phase, left, left_pixel)
                outputs = write(outputs, values)
            return index + 1, outputs, left, left_pixel

        outputs = {"images": tf.TensorArray(images.dtype, width)}
        if keep:
            outputs["parameters"] = tf.TensorArray(model.head.compute_dtype, width)
        for stage in stages:
            outputs[f"cached {stage}"] = tf.TensorArray(dtype, width // 2**stage)
        left = {
            layer.name: tuple(tf.zeros([batch, size], dtype) for size in layer.cached_sizes)
            for stage in stages
            for layer in self.caching[stage]
        }
        start = tf.constant(0), outputs, left, tf.zeros([batch, channels + 1], dtype)
        _, outputs, _, _ = tf.while_loop(lambda index, *_: index < width // period, group, start)
        sampled = {name: array.stack() for name, array in outputs.items()}
        sampled["images"] = tf.ensure_shape(sampled["images"], images.shape)
        for stage in stages:
            shape = [width // 2**stage, images.shape[1], self.cached_size(stage)]
            sampled[f"cached {stage}"] = tf.ensure_shape(sampled[f"cached {stage}"], shape)
        return sampled
