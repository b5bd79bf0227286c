"""Marks the kernels of hidden layers, for optimizers that treat them as matrices (`Muon`)."""

from typing import NamedTuple

import keras
import numpy as np


class HiddenKernel(NamedTuple):
    """How a kernel of a hidden layer is a matrix `[fan-in, filters]`.

    Attributes:
      filter_axis: axis of the kernel that counts the output channels.
      fan_in: inputs of one output channel; masked ones are not counted.
      weight_normalized: the layer uses only the direction of each output channel's weights.
      mask: 0 where the layer ignores a weight, shaped like the kernel; or None.
    """

    filter_axis: int
    fan_in: int
    weight_normalized: bool
    mask: np.ndarray | None = None


def mark_hidden(variable: keras.Variable, kernel: HiddenKernel) -> None:
    """Marks a variable as the kernel of a hidden layer."""
    variable.hidden_kernel = kernel


def hidden_kernel(variable: keras.Variable) -> HiddenKernel | None:
    """The mark of a variable, or None if it is not a kernel of a hidden layer."""
    return getattr(variable, "hidden_kernel", None)
