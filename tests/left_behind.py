"""What a run leaves in its folder, to compare a run that was stopped with one that was not."""

import os

import numpy as np
import tensorflow as tf

from train.run.metrics import read


def rows_of(workdir):
    """The rows of the log, without speeds."""
    rows = read(os.path.join(workdir, "metrics.jsonl"))
    return [{k: v for k, v in row.items() if k != "images_per_sec"} for row in rows]


def arrays_of(workdir):
    """The arrays of the last checkpoint, by name."""
    reader = tf.train.load_checkpoint(os.path.join(workdir, "checkpoints"))
    names = [n for n in reader.get_variable_to_shape_map() if n.endswith("VARIABLE_VALUE")]
    return {name: reader.get_tensor(name) for name in names}


def samples_of(workdir):
    """The images of the samples' arrays and the bytes of their pictures, by file."""
    folder, found = os.path.join(workdir, "samples"), {}
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if name.endswith(".npz"):
            with np.load(path) as file:
                found[name] = file["images"]
        else:
            found[name] = np.fromfile(path, np.uint8)
    return found


def assert_same_run(workdir, other):
    """Log, last checkpoint and samples are the same to the bit."""
    assert rows_of(workdir) == rows_of(other)
    for of in (arrays_of, samples_of):
        mine, theirs = of(workdir), of(other)
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            np.testing.assert_array_equal(mine[name], value, err_msg=name)
