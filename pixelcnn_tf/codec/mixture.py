"""The distribution functions of the mixture of discretized logistics, in float64 (NumPy).

Equations 1 to 3 of the paper as exact conditional distributions: the mixture is over the whole
pixel, so G uses the posterior weights of the mixture given R, and B those given R and G.
"""

import numpy as np

from pixelcnn_tf.likelihoods.discretized_mix_logistic import LOG_SCALE_MIN, OUTPUT_LIMIT

ROUNDING = 4e-16  # relative rounding error of one value computed here
LARGEST = 700.0  # exp() of larger values overflows


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-np.clip(x, -LARGEST, LARGEST)))


def softplus(x):
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


class MixturePixels:
    """The distributions of N pixels, whose channels are coded one after the other.

    Args:
      likelihood: a `DiscretizedMixLogistic`.
      parameters: the network's output for them, float64 `[N, P]`.
      uncertainty: uncertainty of a parameter p, over 1 + |p|; 0.0 if errors are not needed.
    """

    def __init__(self, likelihood, parameters: np.ndarray, uncertainty: float = 0.0):
        k, channels = likelihood.nr_logistic_mix, likelihood.channels
        self.num_levels = likelihood.num_levels
        self.uncertainty = uncertainty
        parameters = np.clip(parameters, -OUTPUT_LIMIT, OUTPUT_LIMIT)
        self.log_weights = parameters[:, :k]
        self.log_weights_error = uncertainty * (1.0 + np.abs(self.log_weights))
        rest = parameters[:, k:].reshape(len(parameters), channels, -1)
        self.means = rest[..., :k]
        self.log_scales = np.maximum(rest[..., k : 2 * k], LOG_SCALE_MIN)
        self.coeffs = np.tanh(rest[..., 2 * k :]) if channels == 3 else None
        self.known = []  # values in [-1, 1], `[N, 1]` each

    def select(self, channel: int) -> None:
        """Selects a channel; the channels before it must be `set`."""
        mean = self.means[:, channel]
        error = 1.0 + np.abs(mean)
        if channel == 1:
            mean = mean + self.coeffs[:, 0] * self.known[0]
        if channel == 2:
            mean = mean + (self.coeffs[:, 1] * self.known[0] + self.coeffs[:, 2] * self.known[1])
        self.mean = mean
        self.mean_error = self.uncertainty * (error + 2.0 * channel)
        self.scale_error = self.uncertainty * (1.0 + np.abs(self.log_scales[:, channel]))
        self.inverse_scale = np.exp(-self.log_scales[:, channel])
        self.weights = softmax(self.log_weights)

    def _from_mean(self, boundaries):
        """The distance of boundaries `[N]` from each mean, in scales: `[N, K]`."""
        edge = (2.0 * boundaries - self.num_levels) / (self.num_levels - 1)
        return (edge[:, None] - self.mean) * self.inverse_scale

    def below(self, boundaries: np.ndarray) -> np.ndarray:
        """The probability `[N]` of the levels below `boundaries` `[N]`, integers in
        1 ... num_levels - 1."""
        return (self.weights * sigmoid(self._from_mean(boundaries))).sum(axis=-1)

    def below_with_error(self, boundaries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`below`, and how much another order of summation may change it, both `[N]`."""
        x = self._from_mean(boundaries)
        cdf = sigmoid(x)
        total = (self.weights * cdf).sum(axis=-1)
        moved = self.inverse_scale * self.mean_error + np.abs(x) * self.scale_error
        error = cdf * (1.0 - cdf) * moved + np.abs(cdf - total[:, None]) * self.log_weights_error
        return total, (self.weights * error).sum(axis=-1) + len(self.weights[0]) * ROUNDING

    def set(self, levels: np.ndarray, values: np.ndarray) -> None:
        """Sets the selected channel: its levels `[N]`, and their values in [-1, 1]."""
        self.known.append(values[:, None].astype(np.float64))
        if self.coeffs is None or len(self.known) == 3:
            return
        # log(sigmoid(upper) - sigmoid(lower)) without cancellation, see `mixture_log_prob`.
        lower, upper = self._from_mean(levels), self._from_mean(levels + 1)
        lowest = (levels == 0)[:, None]
        highest = (levels == self.num_levels - 1)[:, None]
        width = np.maximum(2.0 * self.inverse_scale / (self.num_levels - 1), 1e-300)
        log_mass = np.where(highest, 0.0, -softplus(-upper)) + np.where(
            lowest, 0.0, -softplus(lower)
        )
        log_mass += np.where(lowest | highest, 0.0, np.log(-np.expm1(-width)))
        self.log_weights = self.log_weights + log_mass
        if self.uncertainty:
            far = np.maximum(np.abs(lower), np.abs(upper))
            self.log_weights_error = self.log_weights_error + (
                self.inverse_scale * self.mean_error
                + (1.0 + far) * self.scale_error
                + ROUNDING * np.abs(log_mass)
            )
