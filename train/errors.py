"""Why a program ended, told in one sentence instead of a traceback, and in its exit code."""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator

from absl import app, flags, logging

STOPPED = 75  # EX_TEMPFAIL of sysexits.h: preempted, all is well, the same command goes on
RESOURCE_EXHAUSTED = 8  # TensorFlow's code
WORKER_LOST = 69  # EX_UNAVAILABLE of sysexits.h: another process of the run is gone


class UserError(Exception):
    """Something that the user can mend; its text says what and how."""

    exit_code = 2
    prefix = "error: "


class NotFinite(UserError):
    """The loss or a weight is not finite: `what`, without the advice."""

    def __init__(self, text: str, what: str = ""):
        super().__init__(text)
        self.what = what or text


class Stopped(UserError):
    """The run was asked to stop, and has saved its state."""

    exit_code = STOPPED
    prefix = ""


class Interrupted(Exception):
    """A piece of work was given up, since the run was asked to stop; the caller deals with it."""


class WorkerLost(UserError):
    """Another process of the run does not answer."""

    exit_code = WORKER_LOST


def reason(error: BaseException) -> str:
    """What an error of a library says: its first line, without TensorFlow's names of nodes."""
    text = str(getattr(error, "message", error)).strip() or type(error).__name__
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*", "", text.splitlines()[0])[:300]


@contextlib.contextmanager
def writing(what: str, advice: str = "") -> Iterator[None]:
    """Makes what goes wrong in writing (a full disk, no permission) a `UserError`.

    Args:
      what: what is written, e.g. "the checkpoint of step 7".
      advice: what the user should know then.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {what}: {error.strerror or error}{advice}") from None
    except Exception as error:
        # TensorFlow's errors, told by their attributes: this module does not import it.
        if not hasattr(error, "error_code") or not hasattr(error, "message"):
            raise
        raise UserError(f"cannot write {what}: {reason(error)}{advice}") from None


def _parse_flags(argv):
    """The arguments that are no flags; ends the process with 2 for flags that cannot be parsed."""
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
        logging.set_verbosity(logging.ERROR)  # tfds and TensorFlow tell much by absl
        try:
            return main(argv)
        except BaseException as error:
            # Whatever else a library makes of the interrupt in the midst of its import.
            if interrupted:
                return _end_at_once(128 + signal.SIGINT, "interrupted (Ctrl-C)")
            if isinstance(error, BrokenPipeError):  # of what reads the output: it wants no more
                return _end_at_once(128 + signal.SIGPIPE)
            if isinstance(error, MemoryError) or _is_out_of_memory(error):
                error = UserError(
                    f"out of memory ({reason(error)}); a smaller --batch_size, or a smaller "
                    "network, needs less"
                )
            if not isinstance(error, UserError):
                told = re.search(r"UserError: (.*)", str(getattr(error, "message", "")))
                if told is None:
                    raise
                error = UserError(told[1])  # of a function of ours within TensorFlow's input
            return _end_at_once(error.exit_code, f"{error.prefix}{error}")

    app.run(wrapped, flags_parser=_parse_flags)


def _is_out_of_memory(error):
    """Whether it is TensorFlow's error of that kind, which this module does not import."""
    return getattr(error, "error_code", None) == RESOURCE_EXHAUSTED


def _end_at_once(exit_code, text=""):
    """Ends the process without the libraries' own ends: TensorFlow's take seconds, and with
    several processes wait for the others."""
    if text:
        print(text, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(exit_code)
