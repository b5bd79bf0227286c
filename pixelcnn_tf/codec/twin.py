"""A model's twin in float64, and the fingerprint of a model.

Sums of float64 depend on their order too, but only in the last of 16 digits, so that a decoder
that sums in another order finds the same integers as the encoder nearly always; `tree.py` tells of
the few other cases.
"""

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

# Of the configuration: neither changes what the network computes with its weights.
LEFT_OUT = ("name", "trainable", "dtype", "remat", "dropout_p", "image_shape")
FINGERPRINT_BYTES = 8
# What float32 errs by, over what float64 errs by: 24 bits against 53.
FLOAT32_TO_FLOAT64 = 2.0**-29
# The uncertainty of a parameter that is assumed, over that estimated from float32
# (docs/compression.md has the ratios that were measured), and at least so much.
SAFETY = 32.0
ASTRAY = 100.0
LEAST_UNCERTAINTY = 2e-14
UNKNOWN_UNCERTAINTY = 1e-9  # where float32 overflows and tells nothing


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Within it, no GPU multiplies float32 with fewer bits than that (TF32), as by default."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def twin(model, dtype: str):
    """A copy of the model, with the weights that it has now, in a precision of its own.

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
    """A SHA-256 of what decides a model's distributions, cut to 8 bytes: its class, its
    configuration without the image's size, its weights."""
    config = {key: value for key, value in model.get_config().items() if key not in LEFT_OUT}
    config |= {"class": type(model).__name__, "channels": model.image_shape[-1]}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for variable in model.variables:
        weights = tf.cast(tf.convert_to_tensor(variable), tf.float64).numpy()
        digest.update(repr(weights.shape).encode() + weights.astype("<f8").tobytes())
    return digest.digest()[:FINGERPRINT_BYTES]


def uncertainty(exact: np.ndarray, rough: np.ndarray) -> float:
    """How far another order of sums may move a parameter p, over 1 + |p|.

    Args:
      exact: parameters of the float64 twin, for some images.
      rough: those of the same network in float32.
    """
    error = np.max(np.abs(exact - rough) / (1.0 + np.abs(exact)), initial=0.0)
    # Where float32 goes astray its errors no longer grow as those of float64 do.
    estimate = SAFETY * FLOAT32_TO_FLOAT64 * float(error) * (1.0 + ASTRAY * float(error))
    return max(estimate, LEAST_UNCERTAINTY) if math.isfinite(estimate) else UNKNOWN_UNCERTAINTY
