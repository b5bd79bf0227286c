"""Where the computation runs: the one place that chooses a `tf.distribute` strategy."""

import tensorflow as tf

from train.devices.cluster import read_cluster
from train.errors import UserError


def make_strategy(name: str = "auto", nr_gpu: int = 0) -> tf.distribute.Strategy:
    """Makes the strategy; the first thing that a program does with TensorFlow.

    Args:
      name: "one_device": the first GPU, else the CPU. "mirrored": all GPUs of this machine (all
        logical CPU devices if there is none). "multi_worker": all GPUs of all machines in
        `TF_CONFIG`. "auto": the last if `TF_CONFIG` names several, else the second if there are
        several GPUs, else the first.
      nr_gpu: take only so many of this machine's GPUs; 0 takes all.

    Returns:
      A `tf.distribute.Strategy`.

    Raises:
      UserError: if that cannot be had.
    """
    num_workers, _ = read_cluster()
    gpus = tf.config.list_physical_devices("GPU")
    if nr_gpu > len(gpus):
        raise UserError(f"--nr_gpu={nr_gpu}: only {len(gpus)} GPU(s) are visible")
    if name == "auto" and num_workers > 1:
        name = "multi_worker"
    if name == "multi_worker":
        if num_workers < 2:
            raise UserError(
                "--strategy=multi_worker: the environment variable TF_CONFIG must name the cluster "
                "(at least two workers) and this process's task in it"
            )
        if nr_gpu:
            tf.config.set_visible_devices(gpus[:nr_gpu], "GPU")
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = tf.config.list_logical_devices("GPU")[: nr_gpu or None]
    if name == "auto":
        name = "mirrored" if len(devices) > 1 else "one_device"
    devices = devices or tf.config.list_logical_devices("CPU")
    if name == "mirrored":
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.OneDeviceStrategy(devices[0].name)
