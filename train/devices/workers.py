"""The processes of a run, one or several: who they are and what they do together."""

import json
import os

import tensorflow as tf

from train.errors import UserError


def read_cluster():
    """The `TF_CONFIG` of this process: `(number of workers, its task)`; `(1, None)` without one.

    Raises:
      UserError: if it is not one, or names no task of its cluster.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return 1, None
    try:
        fields = json.loads(text)
        workers = [
            (kind, index)
            for kind in ("chief", "worker")
            for index in range(len(fields.get("cluster", {}).get(kind, [])))
        ]
        if len(workers) < 2:
            return 1, None
        task = fields["task"]["type"], int(fields["task"]["index"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"TF_CONFIG is not of the form of TensorFlow's ({error!r})") from None
    if task not in workers:
        raise UserError(f"TF_CONFIG: the task {task} is none of the cluster's {workers}")
    return len(workers), task


class Workers:
    """What the processes of a run, one or several, must do together.

    Args:
      strategy: the run's strategy.

    Attributes:
      is_chief: whether this process writes checkpoints, samples and logs.
      several: whether there is more than one process.
    """

    def __init__(self, strategy):
        self.strategy = strategy
        resolver = strategy.cluster_resolver
        count, task = read_cluster() if resolver is not None else (1, None)
        self.several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and count > 1
        self.number, self.count = 0, 1
        if self.several:
            cluster = resolver.cluster_spec()
            chiefs = len(cluster.as_dict().get("chief", []))
            self.number = task[1] + (chiefs if task[0] == "worker" else 0)
            self.count = count
        self.is_chief = self.number == 0
        self.sum_tensor = tf.function(self._sum_tensor)

    def _sum_tensor(self, value):
        """Sum of a tensor over all processes; each must call `sum_tensor`."""
        local = self.strategy.num_replicas_in_sync // self.count
        values = self.strategy.run(tf.identity, args=(value,))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None) / local

    def sum(self, value):
        """Sum of a number over all processes; each must call it."""
        if not self.several:
            return value
        # Integers are not summed by every communication library; those here are small.
        return round(float(self.sum_tensor(tf.constant(value, tf.float64))))

    def chief_says(self, value):
        """The chief's integer, in every process; each must call it."""
        return self.sum(value if self.is_chief else 0)

    def broadcast(self, variables):
        """Gives `variables` (mirrored ones) the chief's values, in every process."""
        if not self.several:
            return

        def copy():
            context = tf.distribute.get_replica_context()
            here = context.replica_id_in_sync_group
            for variable in variables:
                mine = tf.where(here == 0, variable, tf.zeros_like(variable))
                variable.assign(context.all_reduce(tf.distribute.ReduceOp.SUM, mine))

        tf.function(lambda: self.strategy.run(copy))()
