"""The processes of a run as `TF_CONFIG` names them. Imports no TensorFlow."""

import json
import os

from train.errors import UserError


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
