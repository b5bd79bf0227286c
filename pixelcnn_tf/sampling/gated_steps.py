"""Gated PixelCNN a pixel at a time, for whoever chooses the pixels' values outside TensorFlow."""

import tensorflow as tf


class Functions:
    """What a row and a pixel cost, compiled once for a model and whatever batch.

    Args:
      sampler: the model's `GatedCachedSampler`.
      jit_compile: by XLA.
    """

    def __init__(self, sampler, jit_compile=False):
        self.sampler = sampler
        self.row = tf.function(self._row, autograph=False, jit_compile=jit_compile)
        self.pixel = tf.function(self._pixel, autograph=False, jit_compile=jit_compile)

    def _row(self, conditions, state, row):
        """The vertical stack: `(told, vertical)`, lists by layer."""
        told, vertical = self.sampler.row_above(conditions, state, row)
        return [told[layer] for layer in self.sampler.model.gated_layers], vertical

    def _pixel(self, pixel, before, told, column, windows):
        """The horizontal stack.

        Args:
          pixel: `[B, C]`, the channels known so far.
          before: `[B, C]`, the pixel to the left, whole.
          told: of `_row`.
          column: int32 scalar.
          windows: by layer, `[B, 1, half + 1, size]`: what it saw at the pixel to the left.

        Returns:
          `(parameters [B, P], windows)`.
        """
        model = self.sampler.model
        # The first layer's input is the pixel itself, of which not all was known then.
        whole = model.network_input(before[:, None, None])
        whole *= tf.cast(column > 0, whole.dtype)
        windows = [tf.concat([windows[0][:, :, :-1], whole], axis=2), *windows[1:]]
        layers = model.gated_layers
        told = {
            layer: tf.gather(row, [column], axis=2) for layer, row in zip(layers, told, strict=True)
        }
        left = [window[:, :, 1:] for window in windows]
        return self.sampler.run_pixel(pixel, told, left)


class PixelSteps:
    """A batch on its way through the pixels; see `pixelcnn_tf.sampling.steps`.

    Args:
      functions: `Functions` of the model.
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
            pixel, before, self.told, tf.constant(column), windows
        )
        return parameters

    def _begin_row(self, images, row):
        if row > 0:
            self.state["image"] = tf.constant(images[:, row - 1 : row])
        self.told, self.state["vertical"] = self.functions.row(
            self.conditions, self.state, tf.constant(row)
        )
        self.empty = self.sampler.zeros(lambda layer, size: [self.batch, 1, layer.half + 1, size])
