"""Where the computation runs: the one place that chooses a `tf.distribute` strategy."""

import tensorflow as tf


def make_strategy():
    """MirroredStrategy over the visible GPUs if there are several, else one device."""
    gpus = tf.config.list_logical_devices("GPU")
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus])
    return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
