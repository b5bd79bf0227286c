import gc
import os
import random
import shutil
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# `make test` runs one process a core: more threads would wait for each other.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import numpy as np
import pytest
import tensorflow as tf
from small import fresh_names

# The tests' files, some 230 MB, go to memory where there is room: a disk took up to half a minute
# to write down what a test had flushed.
MEMORY = "/dev/shm"
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)

# Two logical CPU devices, so that MirroredStrategy can be tested without GPUs.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


# Whenever a seed is set TensorFlow forgets the kernels of eager operations, whose making is half
# the time of a small network's first pass. Nothing that is compared with numbers of another test
# draws from that seed, which each run sets to its own: one that is set already is left alone.
set_seed, seeds = tf.random.set_seed, []


def set_another_seed(seed):
    if seeds[-1:] != [seed]:
        seeds.append(seed)
        set_seed(seed)


tf.random.set_seed = set_another_seed

# Tracing makes so many objects that Python's search for garbage takes a tenth of the time: what the
# imports left is spared, and the rest gone through less often.
gc.freeze()
gc.set_threshold(100_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def own_temporary_directory(tmp_path_factory):
    """What libraries leave in the system's temporary directory goes with the tests' own."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(autouse=True)
def fixed_seed():
    """Weights and names as in a new process: Keras draws its initialisers' seeds from `random`."""
    random.seed(0)
    np.random.seed(0)
    fresh_names()


# With a file to a process, those that take longest begin first, so that both end together.
LONGEST = (
    "test_sampling",
    "test_training",
    "test_family_models",
    "test_export",
    "test_import_official",
    "test_round_trips",
    "test_parity",
    "test_graphs",
    "test_score",
    "test_scale",
    "test_vq_vae_runs",
    "test_family_training",
    "test_compress",
    "test_faults",
    "test_sample",
    "test_keras_fit",
)


def pytest_collection_finish():
    gc.freeze()  # what the tests import


def pytest_collection_modifyitems(items):
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST)))
