"""Gated PixelCNN one pixel at a time; see `pixelcnn_tf.sampling.steps`."""

import tensorflow as tf


class Functions:
    """The functions of a row and of a pixel, compiled once per model for any batch size.

    Args:
      sampler: the model's `GatedCachedSampler`.
      jit_compile: compile with XLA.
    """

    def __init__(self, sampler, jit_compile=False):
        self.sampler = sampler
        self.row = tf.function(self._row, autograph=False, jit_compile=jit_compile)
        self.pixel = tf.function(self._pixel, autograph=False, jit_compile=jit_compile)

    def _row(self, conditions, state, row):
        """The vertical stack: `(from_vertical, vertical)`, lists by layer."""
        from_vertical, vertical = self.sampler.row_above(conditions, state, row)
        return [from_vertical[layer] for layer in self.sampler.model.gated_layers], vertical

    def _pixel(self, pixel, before, from_vertical, column, windows):
        """The horizontal stack.

        Args:
          pixel: `[B, C]`, the channels known so far.
          before: `[B, C]`, the pixel to the left, all channels.
          from_vertical: the result of `_row`.
          column: int32 scalar.
          windows: by layer `[B, 1, half + 1, size]`, its input at the pixel to the left.

        Returns:
          `(parameters [B, P], windows)`.
        """
        model = self.sampler.model
        # The first layer's input is the pixel, whose channels were not all known then.
        whole = model.network_input(before[:, None, None])
        whole *= tf.cast(column > 0, whole.dtype)
        windows = [tf.concat([windows[0][:, :, :-1], whole], axis=2), *windows[1:]]
        layers = model.gated_layers
        from_vertical = {
            layer: tf.gather(row, [column], axis=2)
            for layer, row in zip(layers, from_vertical, strict=True)
        }
        left = [window[:, :, 1:] for window in windows]
        return self.sampler.run_pixel(pixel, from_vertical, left)


class PixelSteps:
    """The state of a batch; see `pixelcnn_tf.sampling.steps`.

    Args:
      functions: the model's `Functions`.
      h: the condition, or None.
      batch: B.
    """

    def __init__(self, functions, h, batch):
        self.functions, self.sampler = functions, functions.sampler
        self.conditions = self.sampler.conditions(h)
        self.state = self.sampler.start(batch)
        self.batch = batch

    def __call__(self, images, row, column, channel):
        """The parameters `[B, P]` of a pixel; see `pixelcnn_tf.sampling.steps`."""
        pixel = tf.constant(images[:, row, column])
        before = tf.zeros_like(pixel)
        if column == 0:
            if channel == 0:
                self._begin_row(images, row)
            windows = self.empty
        else:
            before = tf.constant(images[:, row, column - 1])
            if channel == 0:
                self.before = self.windows
            windows = self.before
        parameters, self.windows = self.functions.pixel(
            pixel, before, self.from_vertical, tf.constant(column), windows
        )
        return parameters

    def _begin_row(self, images, row):
        if row > 0:
            self.state["image"] = tf.constant(images[:, row - 1 : row])
        self.from_vertical, self.state["vertical"] = self.functions.row(
            self.conditions, self.state, tf.constant(row)
        )
        self.empty = self.sampler.zeros(lambda layer, size: [self.batch, 1, layer.half + 1, size])
