"""The distribution functions of a softmax over the levels, in float64 (NumPy)."""

import numpy as np

from pixelcnn_tf.codec.mixture import ROUNDING, softmax


class CategoricalPixels:
    """The distributions of N pixels; methods as of `MixturePixels`.

    Args:
      likelihood: a `Categorical`.
      parameters: the network's output for them, float64 `[N, C * num_levels]`.
      uncertainty: uncertainty of a logit x, over 1 + |x|; 0.0 if errors are not needed.
    """

    def __init__(self, likelihood, parameters: np.ndarray, uncertainty: float = 0.0):
        self.num_levels = likelihood.num_levels
        self.uncertainty = uncertainty
        self.logits = parameters.reshape(len(parameters), likelihood.channels, -1)

    def select(self, channel: int) -> None:
        logits = self.logits[:, channel]
        probabilities = softmax(logits)
        self.cumulative = np.cumsum(probabilities, axis=-1)
        if self.uncertainty:
            moved = (probabilities * np.abs(logits)).sum(axis=-1)
            self.error = self.uncertainty * (1.0 + moved) + self.num_levels * ROUNDING

    def below(self, boundaries: np.ndarray) -> np.ndarray:
        places = boundaries[:, None] - 1
        return np.take_along_axis(self.cumulative, places, axis=-1)[:, 0]

    def below_with_error(self, boundaries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.below(boundaries), self.error

    def set(self, levels: np.ndarray, values: np.ndarray) -> None:
        """Does nothing: the channels of a pixel are independent given its parameters."""
