"""The processes of a run, one or several: who they are and what they do together."""

import tensorflow as tf

from train.devices.cluster import read_cluster


class Workers:
    """What the processes of a run, one or several, must do together.

    Args:
      strategy: the run's strategy; default: that at hand.

    Attributes:
      is_chief: whether this process writes checkpoints, samples and logs.
      several: whether there is more than one process.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy = strategy or tf.distribute.get_strategy()
        self.number, self.count = 0, 1
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            self.count, self.number = read_cluster()
        self.several = self.count > 1
        self.is_chief = self.number == 0
        self.sum_tensor = tf.function(self._sum_tensor, autograph=False)

    def _sum_tensor(self, value):
        """Sum of a tensor over all processes; each must call `sum_tensor`."""
        local = self.strategy.num_replicas_in_sync // self.count
        values = self.strategy.run(tf.identity, args=(value,))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None) / local

    def sum(self, value: int) -> int:
        """Sum of a number over all processes; each must call it."""
        if not self.several:
            return value
        # Integers are not summed by every communication library; those here are small.
        return round(float(self.sum_tensor(tf.constant(value, tf.float64))))

    def chief_says(self, value: int) -> int:
        """The chief's integer, in every process; each must call it."""
        return self.sum(value if self.is_chief else 0)

    def broadcast(self, variables: list) -> None:
        """Gives `variables` (mirrored ones) the chief's values, in every process."""
        if not self.several:
            return

        def copy():
            context = tf.distribute.get_replica_context()
            here = context.replica_id_in_sync_group
            for variable in variables:
                mine = tf.where(here == 0, variable, tf.zeros_like(variable))
                variable.assign(context.all_reduce(tf.distribute.ReduceOp.SUM, mine))

        tf.function(lambda: self.strategy.run(copy), autograph=False)()
