"""Sampling on all replicas: each device of each process makes its share."""

from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

from train.devices.workers import Workers


class Replicas:
    """The devices of a strategy, for work that is split by images and not by variables.

    Args:
      strategy: a `tf.distribute.Strategy`, or None for the device at hand.

    Attributes:
      count: number of replicas.
      writes: whether this process is to write what all made.
    """

    def __init__(self, strategy=None):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.workers = Workers(self.strategy)
        self.count = self.strategy.num_replicas_in_sync
        self.writes = self.workers.is_chief

    def concatenate(self, make, total, progress):
        """Makes rows 0 ... total - 1 of a tensor, each replica a contiguous part of them.

        Args:
          make: `make(slice, progress)` returns those rows; `progress` may be None.
          total: number of rows.
          progress: given to the first replica's call.

        Returns:
          All rows, in order, in every process.
        """
        share = -(-total // self.count)
        devices = self.strategy.extended.worker_devices if self.count > 1 else (None,)
        first = self.workers.number * len(devices)

        def make_on(number, device):
            # The last replicas of a small number make the last rows again: all shares are equal.
            begin = max(min((first + number) * share, total - share), 0)
            with tf.device(device):
                return make(slice(begin, begin + share), None if number else progress)

        with ThreadPoolExecutor(len(devices)) as pool:
            parts = list(pool.map(make_on, range(len(devices)), devices))
        rows = tf.concat(parts, axis=0)
        if self.workers.several:
            # A sum of blocks that overlap nowhere.
            before = first * share
            after = self.count * share - before - len(rows)
            rows = self.workers.sum_tensor(
                tf.pad(rows, [[before, after]] + [[0, 0]] * (rows.shape.rank - 1))
            )
        if self.count == 1:
            return rows
        begins = [max(min(number * share, total - share), 0) for number in range(self.count)]
        order = {
            begin + row: number * share + row
            for number, begin in enumerate(begins)
            for row in range(share)
        }
        return tf.gather(rows, [order[row] for row in range(total)])
