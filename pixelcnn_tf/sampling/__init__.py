"""Sampling from a model, and completing images."""

from pixelcnn_tf.renamed import warn_renamed
from pixelcnn_tf.sampling.completion import (
    METHODS,
    complete,
    complete_unchecked,
    pixel_uniforms,
    sample,
)

__all__ = ["METHODS", "complete", "complete_unchecked", "pixel_uniforms", "sample"]


def __getattr__(name):
    if name == "fill":
        warn_renamed("sampling.fill", "complete_unchecked")
        return complete_unchecked
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
