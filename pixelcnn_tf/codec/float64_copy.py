"""The float64 copy of a model, and a model's fingerprint.

Float64 sums depend on the order of summation only in the last of 16 digits, so a decoder that sums
in another order nearly always computes the same integers as the encoder; `tree.py` explains the
other cases.
"""

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

# Configuration that does not change what the network computes with its weights.
LEFT_OUT = ("name", "trainable", "dtype", "remat", "dropout_p", "image_shape")
# The file format's name of an argument -> its present name.
FORMAT_NAMES = {"nr_output_filters": "num_head_filters"}
FINGERPRINT_BYTES = 8
# The rounding error of float64 over that of float32: 53 bits instead of 24.
FLOAT32_TO_FLOAT64 = 2.0**-29
# The assumed uncertainty of a parameter over the one estimated from float32 (measured ratios are in
# docs/compression.md), and its least value.
SAFETY = 32.0
ASTRAY = 100.0
LEAST_UNCERTAINTY = 2e-14
UNKNOWN_UNCERTAINTY = 1e-9  # if float32 overflows, which gives no estimate


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """A context in which GPUs multiply float32 at full precision, without TF32."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def copy_in(model, dtype: str):
    """A copy of the model, with its present weights, in another precision.

    Args:
      model: an `AutoregressiveModel`, of any precision.
      dtype: "float64" or "float32".
    """
    config = model.get_config() | {"dtype": dtype}
    other = type(model).from_config(config)
    for variable, source in zip(other.variables, model.variables, strict=True):
        variable.assign(tf.cast(tf.convert_to_tensor(source), dtype))
    return other


def fingerprint(model) -> bytes:
    """The first 8 bytes of the SHA-256 of a model's class, configuration (without the image size)
    and weights."""
    config = {key: value for key, value in model.get_config().items() if key not in LEFT_OUT}
    for old, new in FORMAT_NAMES.items():
        if new in config:
            config[old] = config.pop(new)
    config |= {"class": type(model).__name__, "channels": model.image_shape[-1]}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for variable in model.variables:
        weights = tf.cast(tf.convert_to_tensor(variable), tf.float64).numpy()
        digest.update(repr(weights.shape).encode() + weights.astype("<f8").tobytes())
    return digest.digest()[:FINGERPRINT_BYTES]


def uncertainty(exact: np.ndarray, approximate: np.ndarray) -> float:
    """How much another order of summation may change a parameter p, over 1 + |p|.

    Args:
      exact: parameters of the float64 copy, for some images.
      approximate: parameters of the same network in float32.
    """
    error = np.max(np.abs(exact - approximate) / (1.0 + np.abs(exact)), initial=0.0)
    # Large float32 errors no longer scale with the errors of float64.
    estimate = SAFETY * FLOAT32_TO_FLOAT64 * float(error) * (1.0 + ASTRAY * float(error))
    return max(estimate, LEAST_UNCERTAINTY) if math.isfinite(estimate) else UNKNOWN_UNCERTAINTY
