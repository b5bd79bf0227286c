"""The LSTM of PixelRNN: one step, and the loop (van den Oord et al. 2016a, equation 3)."""

import tensorflow as tf

NUM_GATES = 4  # output, forget, input and content, side by side in this order


def lstm_step(state, input_to_state, state_to_state):
    """One step: `[o, f, i, g] = [sigmoid, sigmoid, sigmoid, tanh](K_ss * h + K_is * x)`.

    Args:
      state: `(h, c)`, each `[..., F]`.
      input_to_state: `K_is * x`, `[..., 4 * F]`.
      state_to_state: `K_ss * h`, `[..., 4 * F]`.

    Returns:
      The new `(h, c)`: `c = f c + i g`, `h = o tanh(c)`.
    """
    output, forget, enter, content = tf.split(input_to_state + state_to_state, NUM_GATES, axis=-1)
    c = tf.sigmoid(forget) * state[1] + tf.sigmoid(enter) * tf.tanh(content)
    return tf.sigmoid(output) * tf.tanh(c), c


def run_lstm(input_to_state, convolve_state):
    """Runs an LSTM over the first axis (`tf.scan`), from a state of zeros.

    Args:
      input_to_state: `[T, B, N, 4 * F]`.
      convolve_state: function `h [B, N, F] -> K_ss * h [B, N, 4 * F]`.

    Returns:
      h at every step, `[T, B, N, F]`.
    """
    filters = input_to_state.shape[-1] // NUM_GATES
    zeros = tf.zeros_like(input_to_state[0, ..., :filters])

    def step(state, gates):
        return lstm_step(state, gates, convolve_state(state[0]))

    return tf.scan(step, input_to_state, (zeros, zeros))[0]
