"""TensorFlow's start without its greetings, which look like failures to a newcomer."""

import os
import re
import signal
import sys

# What TensorFlow tells before it looks at TF_CPP_MIN_LOG_LEVEL, on a machine without a GPU.
GREETINGS = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\)"
    rb"|I0000 .* (port|cudart_stub|cpu_feature_guard)\.cc:\d+\]"
    rb"|E0000 .* cuda_platform\.cc:\d+\] failed call to cuInit: .*(\(303\)|NO_DEVICE|\(100\))"
)


def start_tensorflow() -> None:
    """Imports TensorFlow and lists its devices, which is when it greets.

    What it writes to the standard error meanwhile goes through a process of its own, which leaves
    out the greetings and passes on all else; it lives on if TensorFlow ends this process. Nothing
    is left out if the user sets TF_CPP_MIN_LOG_LEVEL to 0 or 1.
    """
    if "tensorflow" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2") in ("0", "1"):
        return
    reading, writing = os.pipe()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(writing)
        _pass_on_all_but_greetings(reading)
    os.close(reading)
    stderr = os.dup(2)
    os.dup2(writing, 2)
    os.close(writing)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
        os.waitpid(child, 0)  # until it has passed on all


def _pass_on_all_but_greetings(reading):
    """The child: ends when nobody can write any more. Does not return."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        with open(reading, "rb") as lines:
            for line in lines:
                if not GREETINGS.match(line):
                    os.write(2, line)
    finally:
        os._exit(0)
