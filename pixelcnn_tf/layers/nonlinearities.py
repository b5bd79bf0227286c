"""The nonlinearities of the residual blocks (official flag `resnet_nonlinearity`)."""

import tensorflow as tf


def concat_elu(x):
    """`elu(concat([x, -x]))` over the channels (official `nn.concat_elu`).

    Args:
      x: float tensor `[..., C]`.

    Returns:
      float tensor `[..., 2 * C]`, values > -1.
    """
    return tf.nn.elu(tf.concat([x, -x], axis=-1))


NONLINEARITIES = {"concat_elu": concat_elu, "elu": tf.nn.elu, "relu": tf.nn.relu}


def get_nonlinearity(name):
    """Returns the function called `name`: "concat_elu", "elu" or "relu".

    Raises:
      ValueError: for any other name.
    """
    if name not in NONLINEARITIES:
        raise ValueError(
            f"resnet_nonlinearity={name!r}: must be one of {', '.join(NONLINEARITIES)}"
        )
    return NONLINEARITIES[name]
