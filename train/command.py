"""How a command starts and ends: TensorFlow without its banner, errors as one line."""

import contextlib
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable

from absl import app, flags, logging

from train.errors import UserError, reason

RESOURCE_EXHAUSTED = 8  # TensorFlow's code
# Lines that TensorFlow writes before it reads TF_CPP_MIN_LOG_LEVEL, on a machine without a GPU.
BANNER = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\)"
    rb"|I0000 .* (port|cudart_stub|cpu_feature_guard)\.cc:\d+\]"
    rb"|E0000 .* cuda_platform\.cc:\d+\] failed call to cuInit: .*(\(303\)|NO_DEVICE|\(100\))"
)


def start_tensorflow() -> None:
    """Imports TensorFlow and lists its devices, without the lines of its banner; all else that it
    writes to the standard error follows when it has started. TF_CPP_MIN_LOG_LEVEL 0 or 1 shows
    everything."""
    if "tensorflow" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2") in ("0", "1"):
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            for line in written:
                if not BANNER.match(line):
                    os.write(2, line)


def _parse_flags(argv):
    """The arguments that are not flags; ends the process with 2 for flags that cannot be parsed."""
    # So that --help shows the flags that several commands share.
    for flag in flags.FLAGS.flags_by_module_dict().get("train.flags", []):
        flags.FLAGS.register_key_flag_for_module(argv[0], flag)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        print(f"error: {' '.join(str(error).split())} (--help lists the flags)", file=sys.stderr)
        sys.exit(UserError.exit_code)
    except SystemExit:
        sys.exit(0)  # absl has shown its help, and would end with 1


def run(main: Callable[[list[str]], object]) -> None:
    """Runs `main(argv)` under absl, and ends the process.

    A `UserError` becomes one line and its exit code, SIGINT (Ctrl-C) one line and 130.
    """
    interrupted = []

    def interrupt(*_):
        interrupted.append(True)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)

    def wrapped(argv):
        if len(argv) > 1:
            print(f"error: unknown argument {argv[1]!r}: flags begin with --", file=sys.stderr)
            return UserError.exit_code
        logging.set_verbosity(logging.ERROR)  # tfds and TensorFlow log much through absl
        try:
            return main(argv)
        except BaseException as error:
            # Libraries turn an interrupt during their import into other errors.
            if interrupted:
                return _end_at_once(128 + signal.SIGINT, "interrupted (Ctrl-C)")
            if isinstance(error, BrokenPipeError):  # the reader of the output has closed it
                return _end_at_once(128 + signal.SIGPIPE)
            if isinstance(error, MemoryError) or _is_out_of_memory(error):
                error = UserError(
                    f"out of memory ({reason(error)}); use a smaller --batch_size or a smaller "
                    "network"
                )
            if not isinstance(error, UserError):
                message = str(getattr(error, "message", ""))
                found = re.search(r"(?:User|Argument)Error: (.*)", message)
                if found is None:
                    raise
                error = UserError(found[1])  # raised inside TensorFlow's input pipeline
            return _end_at_once(error.exit_code, f"{error.prefix}{error}")

    app.run(wrapped, flags_parser=_parse_flags)


def _is_out_of_memory(error):
    """Whether it is TensorFlow's error of that kind, which this module does not import."""
    return getattr(error, "error_code", None) == RESOURCE_EXHAUSTED


def _end_at_once(exit_code, text=""):
    """Ends the process without the libraries' exit handlers: TensorFlow's take seconds, and wait
    for the other processes of a run."""
    if text:
        print(text, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(exit_code)
