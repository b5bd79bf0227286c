"""The cached sampler: each value of the network computed once (after Ramachandran et al. 2017,
"Fast Generation for Convolutional Autoregressive Models").

For every row it walks the network's one definition, `PixelCNNPlusPlus.walk`, with a `RowPass`,
which runs the vertical stream and prepares the horizontal one, and then for every pixel with a
`PixelPass`, which runs what is left of the horizontal stream; then it samples the pixel.

The loops go over groups of 4 rows and, inside, 4 columns: which stages of the U-Net are active in
each of the 4 x 4 phases is decided when the function is traced, not while it runs.
"""

import tensorflow as tf

from pixelcnn_tf.layers.gated_resnet import GatedResnet
from pixelcnn_tf.models.pixelcnn_pp import NUM_STAGES, MixtureHead
from pixelcnn_tf.sampling.pixelcnn_pp_passes import PixelPass, Plan, RowPass, pack
from pixelcnn_tf.sampling.pixelcnn_pp_steps import (
    VerticalDoubleSteps,
    VerticalHalveSteps,
    VerticalResnetSteps,
)

PERIOD = 2 ** (NUM_STAGES - 1)  # rows and columns after which the phases repeat


class CachedSampler:
    """Fills in the pixels of images for one model; see `pixelcnn_tf.sampling.complete`.

    Args:
      model: a `PixelCNNPlusPlus`.
    """

    period = PERIOD  # rows are filled in groups of so many

    def __init__(self, model):
        self.model = model
        self.plan = Plan(model)

    def fold(self):
        """The normalised weights of every layer, a nested dict of tensors."""
        weights = {self.plan.name[layer]: steps.fold() for layer, steps in self.plan.steps.items()}
        if isinstance(self.plan.head, MixtureHead):
            nin = self.plan.head.nin
            weights["head"] = {"matrix": nin.kernel(), "bias": nin.bias()}
        return weights

    def conditions(self, h):
        """What the conditioning vector `[B, num_classes]` adds in each gated block, `[B, 2 F]`."""
        if h is None:
            return {}
        return {
            self.plan.name[layer]: layer.condition(h)
            for layer in self.plan.steps
            if isinstance(layer, GatedResnet)
        }

    def start(self, batch):
        """The state before the first row, all zeros: outside the image lies padding."""
        _, width, channels = self.model.image_shape
        dtype = self.model.compute_dtype
        plan = self.plan

        def row(level, size):
            return tf.zeros([width // 2**level, batch, size], dtype)

        vertical = {}
        for layer, steps in plan.steps.items():
            level, name = plan.level[layer], plan.name[layer]
            if isinstance(steps, VerticalResnetSteps):
                vertical[name] = steps.start(lambda size, level=level: row(level, size))
            elif isinstance(steps, VerticalHalveSteps):
                vertical[name] = row(level - 1, layer.filters)
            elif isinstance(steps, VerticalDoubleSteps):
                vertical[name] = row(level + 1, layer.filters)
        cached = [
            row(level, sum(plan.sizes(layers, "cached_sizes")))
            for level, layers in enumerate(plan.cached)
        ]
        image = row(0, channels + 1), row(0, channels + 1)
        return {"vertical": vertical, "cached": cached, "image": image}

    @tf.autograph.experimental.do_not_convert  # nothing to convert; tracing is 3 times faster
    def fill(self, weights, conditions, state, images, mask, uniforms, first_row, options):
        """Fills in some rows of a batch of images.

        Args:
          weights: of `fold`.
          conditions: of `conditions`.
          state: of `start`, or of the rows before.
          images: `[R, W, B, C]`, R divisible by 4.
          mask: `[R, W, B, 1]`, 1 where the pixel is given.
          uniforms: `[R, W, B, likelihood.num_uniforms]`.
          first_row: number of the first of these rows in the image, divisible by 4.
          options: `(quantize, temperature, keep_parameters)`; the last also returns the
            distribution's parameters at every pixel, for tests.

        Returns:
          `(rows [R, W, B, C], parameters [R, W, B, P] or None, state)`.
        """
        plan = self.plan
        num_rows, batch = images.shape[0], tf.shape(images)[2]
        weights = {layer: weights[name] for layer, name in plan.name.items()} | {
            plan.head: weights.get("head")
        }
        conditions = {
            layer: conditions[name] for layer, name in plan.name.items() if name in conditions
        }

        def group(index, rows, parameters, state):
            for phase in range(PERIOD):
                row = index * PERIOD + phase
                not_first = tf.cast(first_row + row > 0, self.model.compute_dtype)
                row_pass = RowPass(plan, weights, conditions, state, phase, not_first)
                self.model.walk(None, row_pass)
                given = images[row], mask[row], uniforms[row]
                pixels, outputs, cached = self._row(weights, row_pass, batch, given, options)
                rows = rows.write(row, pixels)
                parameters = [array.write(row, outputs) for array in parameters]
                with_ones = tf.concat([pixels, tf.ones_like(pixels[..., :1])], axis=-1)
                state = {
                    "vertical": row_pass.vertical,
                    "cached": [
                        new if new is not None else old
                        for new, old in zip(cached, state["cached"], strict=True)
                    ],
                    "image": (tf.cast(with_ones, self.model.compute_dtype), state["image"][0]),
                }
            return index + 1, rows, parameters, state

        keep = options[2]
        start = (
            tf.constant(0),
            tf.TensorArray(images.dtype, num_rows),
            [tf.TensorArray(self.plan.head.compute_dtype, num_rows)] if keep else [],
            state,
        )
        _, rows, parameters, state = tf.while_loop(
            lambda index, *_: index < num_rows // PERIOD, group, start
        )
        rows = tf.ensure_shape(rows.stack(), images.shape)
        return rows, parameters[0].stack() if keep else None, state

    def _row(self, weights, row_pass, batch, given, options):
        """Samples a row: `(pixels [W, B, C], parameters [W, B, P] or None, cached)`.

        `cached` has a tensor `[W, B, ...]` for each level that this row has a row of its own at,
        else None.
        """
        plan, dtype = self.plan, self.model.compute_dtype
        quantize, temperature, keep = options
        images, mask, uniforms = given
        width, channels = images.shape[0], images.shape[-1]
        levels = [level for level in range(NUM_STAGES) if row_pass.active(level)]
        prepared_layers = [
            [layer for layer in plan.prepared[level] if layer in row_pass.prepared]
            for level in levels
        ]
        prepared = [pack(row_pass.prepared, layers) for layers in prepared_layers]
        cached_layers = [layer for level in levels for layer in plan.cached[level]]
        sizes = {layer: plan.steps[layer].cached_sizes for layer in cached_layers}
        names = {plan.name[layer]: layer for layer in sizes}

        def group(index, pixels, parameters, cached, left, left_pixel):
            for phase in range(PERIOD):
                column = index * PERIOD + phase
                active = [i for i, level in enumerate(levels) if phase % 2**level == 0]
                slices = {}
                for i in active:
                    packed = tf.gather(prepared[i], column // 2 ** levels[i])
                    slices |= plan.unpack(packed, prepared_layers[i], "prepared_sizes")
                noise = tf.gather(uniforms, column)
                outputs = {}

                def head(ul, noise=noise, outputs=outputs):
                    outputs["parameters"] = parameters_of = self._head(weights, ul, noise)
                    return self.model.likelihood.sample(parameters_of, noise, quantize, temperature)

                pixel_pass = PixelPass(
                    plan,
                    weights,
                    slices,
                    {names[name]: value for name, value in left.items()},
                    left_pixel,
                    head,
                    row_pass.phase,
                    phase,
                )
                sample = self.model.walk(None, pixel_pass)
                sample = tf.reshape(tf.cast(sample, images.dtype), [-1, channels])
                pixel = tf.where(tf.gather(mask, column) > 0, tf.gather(images, column), sample)
                pixels = pixels.write(column, pixel)
                parameters = [array.write(column, outputs["parameters"]) for array in parameters]
                for i in active:
                    packed = pack(pixel_pass.cached, plan.cached[levels[i]])
                    cached[i] = cached[i].write(column // 2 ** levels[i], packed)
                left = left | {
                    plan.name[layer]: value for layer, value in pixel_pass.cached.items()
                }
                one = tf.ones_like(pixel[:, :1])
                left_pixel = tf.cast(tf.concat([pixel, one], axis=-1), dtype)
            return index + 1, pixels, parameters, cached, left, left_pixel

        start = (
            tf.constant(0),
            tf.TensorArray(images.dtype, width),
            [tf.TensorArray(plan.head.compute_dtype, width)] if keep else [],
            [tf.TensorArray(dtype, width // 2**level) for level in levels],
            {
                plan.name[layer]: tuple(tf.zeros([batch, size], dtype) for size in layer_sizes)
                for layer, layer_sizes in sizes.items()
            },
            tf.zeros([batch, channels + 1], dtype),
        )
        _, pixels, parameters, cached, _, _ = tf.while_loop(
            lambda index, *_: index < width // PERIOD, group, start
        )

        def finished(array, size, level):
            return tf.ensure_shape(array.stack(), [width // 2**level, images.shape[1], size])

        stacked = [None] * NUM_STAGES
        for level, array in zip(levels, cached, strict=True):
            size = sum(plan.sizes(plan.cached[level], "cached_sizes"))
            stacked[level] = finished(array, size, level)
        return (
            finished(pixels, channels, 0),
            parameters[0].stack() if keep else None,
            stacked,
        )

    def _head(self, weights, ul, noise):
        """The head at one pixel: `[B, F]` -> its parameters, `[B, P]`."""
        head = self.plan.head
        if isinstance(head, MixtureHead):
            w = weights[head]
            ul = tf.cast(ul, head.compute_dtype)  # float32 in mixed precision
            return tf.matmul(tf.nn.elu(ul), w["matrix"]) + w["bias"]
        noise = tf.cast(2.0 * noise - 1.0, ul.dtype)
        return head(ul[:, None, None, :], noise=noise[None, :, None, None, :])
