"""The cached sampler of Gated PixelCNN, which computes each value of the network once.

For every row it runs `GatedPixelCNN.walk` once for the vertical stack, at the row above the sampled
one, and then once per sub-pixel for the horizontal stack.
"""

from functools import partial

import tensorflow as tf

from pixelcnn_tf.sampling import gated_steps


class GatedCachedSampler:
    """Samples the pixels of images for one model; its interface: `pixelcnn_tf.sampling.cached`.

    Args:
      model: a `GatedPixelCNN`.
    """

    period = 1  # rows are sampled one at a time

    def __init__(self, model):
        self.model = model

    def normalized_weights(self):
        """Empty: the layers have no normalised weights."""
        return {}

    def conditions(self, h):
        """The condition as a map, `{"h": [B, 1, 1, D] or [B, H, W, D]}`; empty without one."""
        if h is None:
            return {}
        return {"h": h if h.shape.rank == 4 else h[:, None, None]}

    def start(self, batch):
        """The state before the first row, all zeros, as the padding around the image: for each
        layer the last rows of its vertical input, and the last row of the image."""
        height, width, channels = self.model.image_shape
        vertical = self.zeros(lambda layer, size: [batch, layer.half, width, size])
        return {"vertical": vertical, "image": tf.zeros([batch, 1, width, channels])}

    def steps(self, jit_compile):
        """The sampler one pixel at a time: a function of `(h, batch)`, see `sampling/steps.py`."""
        return partial(gated_steps.PixelSteps, gated_steps.Functions(self, jit_compile))

    def zeros(self, shape):
        """Zeros for each layer, of the shape `shape(layer, channels of its input)`."""
        model, dtype = self.model, self.model.compute_dtype
        sizes = [model.input_channels] + [model.nr_filters] * model.nr_resnet
        return [
            tf.zeros(shape(layer, size), dtype)
            for layer, size in zip(model.gated_layers, sizes, strict=True)
        ]

    @tf.autograph.experimental.do_not_convert
    def fill_rows(self, weights, conditions, state, images, mask, uniforms, rows, options):
        """Samples some rows of a batch of images. Arguments and result: see
        `CachedSampler.fill_rows` in `pixelcnn_pp/cached_sampler.py`."""
        height, keep = images.shape[0], options[2]

        def one_row(row, filled, parameters, state):
            from_vertical, vertical = self.row_above(conditions, state, row)
            given = images[row], mask[row], uniforms[row]
            pixels, outputs = self._row(from_vertical, given, options)
            filled = filled.write(row, pixels)
            parameters = [array.write(row, outputs) for array in parameters]
            image = tf.cast(tf.transpose(pixels, [1, 0, 2])[:, None], tf.float32)
            return row + 1, filled, parameters, {"vertical": vertical, "image": image}

        filled = tf.TensorArray(images.dtype, height).unstack(images)
        arrays = []
        if keep:
            shape = [*images.shape[1:3], self.model.likelihood.num_parameters]
            arrays = [tf.TensorArray(self.model.head.compute_dtype, height, element_shape=shape)]
        _, filled, parameters, state = tf.while_loop(
            lambda row, *_: row < rows[1], one_row, (rows[0], filled, arrays, state)
        )
        images = tf.ensure_shape(filled.stack(), images.shape)
        return images, parameters[0].stack() if keep else None, state

    def row_above(self, conditions, state, row):
        """Runs the vertical stack on the row above `row`.

        Returns:
          `(from_vertical, vertical)`: layer -> `[B, 1, W, 2 p]`, the input of the horizontal gates;
          and the rows to keep.
        """
        model = self.model
        inside = tf.cast(row > 0, model.compute_dtype)  # zeros above the image
        from_vertical, kept, rows = {}, [], iter(state["vertical"])

        def condition(number):
            h = conditions.get("h")
            return h if h is None or h.shape[1] == 1 else h[:, number][:, None]

        def run(layer, vertical, _):
            seen = tf.concat([next(rows), inside * vertical], axis=1)  # half + 1 rows
            kept.append(seen[:, 1:])
            features = inside * layer.vertical_features(seen)
            from_vertical[layer] = layer.horizontal_bias(features, condition(row))
            return layer.vertical_output(features, condition(tf.maximum(row - 1, 0))), None

        model.walk(model.network_input(state["image"]), run)
        return from_vertical, kept

    def run_pixel(self, pixel, from_vertical, left):
        """Runs the horizontal stack on a pixel.

        Args:
          pixel: `[B, C]`, the channels known so far.
          from_vertical: layer -> `[B, 1, 1, 2 p]`, from `row_above`.
          left: for each layer its input at the pixels to the left, `[B, 1, half, size]`.

        Returns:
          The pixel's parameters `[B, P]`, and `left` with the pixel appended.
        """
        caches, seen = iter(left), []

        def run(layer, _, horizontal):
            window = tf.concat([next(caches), horizontal], axis=2)  # half + 1 columns
            seen.append(window)
            x = layer.horizontal_conv(window)[:, :, -1:] + from_vertical[layer]
            return None, layer.horizontal_output(horizontal, x)

        parameters = self.model.walk(self.model.network_input(pixel[:, None, None]), run)
        return parameters[:, 0, 0], seen

    def _row(self, from_vertical, given, options):
        """Samples a row: `(pixels [W, B, C], parameters [W, B, P])`."""
        model = self.model
        quantize, temperature, keep = options
        images, mask, uniforms = given
        width, batch, channels = images.shape[0], tf.shape(images)[1], images.shape[-1]

        def one_pixel(column, pixels, outputs, left):
            is_given = mask[column] > 0
            pixel = tf.where(is_given, images[column], tf.zeros_like(images[column]))
            here = {layer: row[:, :, column][:, :, None] for layer, row in from_vertical.items()}
            for channel in range(channels):
                parameters, seen = self.run_pixel(pixel, here, left)
                sampled = model.likelihood.sample(
                    parameters, uniforms[column], quantize, temperature
                )
                missing = (tf.range(channels) == channel) & ~is_given
                pixel = tf.where(missing, tf.cast(sampled, pixel.dtype), pixel)
            # The first layer's input is the pixel itself, now complete.
            whole = model.network_input(pixel[:, None, None])
            seen[0] = tf.concat([seen[0][:, :, :-1], whole], axis=2)
            outputs = [array.write(column, parameters) for array in outputs]
            left = [window[:, :, 1:] for window in seen]
            return column + 1, pixels.write(column, pixel), outputs, left

        arrays = [tf.TensorArray(model.head.compute_dtype, width)] if keep else []
        left = self.zeros(lambda layer, size: [batch, 1, layer.half, size])
        start = tf.constant(0), tf.TensorArray(images.dtype, width), arrays, left
        _, pixels, outputs, _ = tf.while_loop(
            lambda column, *_: column < width, one_pixel, start, maximum_iterations=width
        )
        pixels = tf.ensure_shape(pixels.stack(), images.shape)
        return pixels, outputs[0].stack() if keep else None
