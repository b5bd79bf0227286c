"""Work that is split by images and not by variables: each device of each process has a share."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from train.devices import Workers
from train.errors import Interrupted


def on_all_replicas(
    workers: Workers,
    make: Callable[[np.ndarray, Callable[[int], None]], tf.Tensor],
    total: int,
    progress: Callable[[int], None],
) -> tf.Tensor:
    """Makes rows 0 ... total - 1 of a tensor, each replica a contiguous part of them.

    Args:
      workers: the processes; each must call this.
      make: `make(numbers, progress)` returns the rows of these numbers; it calls `progress`.
      total: number of rows.
      progress: called with the progress of the first replica of this process. It may raise
        `Interrupted`, which ends the work.

    Returns:
      All rows, in order, in every process.

    Raises:
      Interrupted: in all processes, if `progress` raised it in one. The others end their shares
        before they know of it.
    """
    replicas = workers.strategy.num_replicas_in_sync
    share = -(-total // replicas)
    devices = workers.strategy.extended.worker_devices if replicas > 1 else (None,)
    first = workers.number * len(devices)
    given_up = threading.Event()

    def make_on(number, device):
        def report(rows):
            if given_up.is_set():
                raise Interrupted
            if number == 0:
                progress(rows)

        # Beyond the end the last row again, so that all shares are equal.
        begin = (first + number) * share
        numbers = np.minimum(np.arange(begin, begin + share), total - 1)
        with tf.device(device):
            return make(numbers, report)

    def make_here():
        if len(devices) == 1:
            return make_on(0, devices[0])
        with ThreadPoolExecutor(len(devices)) as pool:
            try:
                return tf.concat(list(pool.map(make_on, range(len(devices)), devices)), axis=0)
            except BaseException:
                given_up.set()
                raise

    try:
        rows = make_here()
    except Interrupted:
        rows = None
    if workers.sum(rows is None):
        raise Interrupted
    if workers.is_multi_worker:
        # A sum of blocks that overlap nowhere.
        before = first * share
        after = replicas * share - before - len(rows)
        padding = [[before, after]] + [[0, 0]] * (rows.shape.rank - 1)
        rows = workers.sum_tensor(tf.pad(rows, padding))
    return rows[:total]
