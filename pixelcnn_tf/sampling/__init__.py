"""Sampling from a model, and completing images."""

from pixelcnn_tf.sampling.completion import METHODS, complete, fill, pixel_uniforms, sample

__all__ = ["METHODS", "complete", "fill", "pixel_uniforms", "sample"]
