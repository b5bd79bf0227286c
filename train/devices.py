"""Where a run computes: the `tf.distribute` strategy and the processes of the run."""

import json
import os

import tensorflow as tf

from train.errors import ArgumentError, UserError


def read_cluster() -> tuple[int, int]:
    """What `TF_CONFIG` says: `(number of workers, number of this one)`; `(1, 0)` without one.

    Worker 0 is the chief.

    Raises:
      UserError: if it is not one, or names no task of its cluster.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return 1, 0
    try:
        fields = json.loads(text)
        workers = [
            (kind, index)
            for kind in ("chief", "worker")
            for index in range(len(fields.get("cluster", {}).get(kind, [])))
        ]
        if len(workers) < 2:
            return 1, 0
        task = fields["task"]["type"], int(fields["task"]["index"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"TF_CONFIG is not of the form of TensorFlow's ({error!r})") from None
    if task not in workers:
        raise UserError(f"TF_CONFIG: the task {task} is none of the cluster's {workers}")
    return len(workers), workers.index(task)


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
        raise ArgumentError("nr_gpu", nr_gpu, f"only {len(gpus)} GPU(s) are visible")
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


class Workers:
    """What the processes of a run, one or several, must do together.

    Args:
      strategy: the run's strategy; default: the current one.

    Attributes:
      is_chief: whether this process writes checkpoints, samples and logs.
      is_multi_worker: whether there is more than one process.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy = strategy or tf.distribute.get_strategy()
        self.number, self.count = 0, 1
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            self.count, self.number = read_cluster()
        self.is_multi_worker = self.count > 1
        self.is_chief = self.number == 0
        self.sum_tensor = tf.function(self._sum_tensor, autograph=False)

    def _sum_tensor(self, value):
        """Sum of a tensor over all processes; each must call `sum_tensor`."""
        local = self.strategy.num_replicas_in_sync // self.count
        values = self.strategy.run(tf.identity, args=(value,))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None) / local

    def sum(self, value: int) -> int:
        """Sum of a number over all processes; each must call it."""
        if not self.is_multi_worker:
            return value
        # Integers are not summed by every communication library; those here are small.
        return round(float(self.sum_tensor(tf.constant(value, tf.float64))))

    def broadcast_from_chief(self, value: int) -> int:
        """The chief's integer, in every process; each must call it."""
        return self.sum(value if self.is_chief else 0)

    def broadcast(self, variables: list) -> None:
        """Gives `variables` (mirrored ones) the chief's values, in every process."""
        if not self.is_multi_worker:
            return

        def copy():
            context = tf.distribute.get_replica_context()
            here = context.replica_id_in_sync_group
            for variable in variables:
                mine = tf.where(here == 0, variable, tf.zeros_like(variable))
                variable.assign(context.all_reduce(tf.distribute.ReduceOp.SUM, mine))

        tf.function(lambda: self.strategy.run(copy), autograph=False)()
