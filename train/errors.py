"""Errors that a user can fix, each one sentence and an exit code. Imports no TensorFlow."""

import contextlib
import re
from collections.abc import Iterator

STOPPED = 75  # EX_TEMPFAIL of sysexits.h: preempted; the same command resumes
WORKER_LOST = 69  # EX_UNAVAILABLE of sysexits.h: another process of the run is gone


class UserError(Exception):
    """Something that the user can fix; its text says what and how."""

    exit_code = 2
    prefix = "error: "


class ArgumentError(UserError):
    """An argument that cannot be used: `ArgumentError("seed", -1, "must be at least 0")`.

    Its text is `seed=-1: must be at least 0`; a command prints it as the flag `--seed=-1: ...`.

    Args:
      argument: name of the argument, which is the name of the flag.
      value: its value; None of an argument that is not given.
      text: what is wrong, what is allowed, the fix.
    """

    prefix = "error: --"

    def __init__(self, argument: str, value: object, text: str):
        super().__init__(text)
        self.argument, self.value = argument, value

    def __str__(self):
        if self.value is None:
            return f"{self.argument} {self.args[0]}"
        return f"{self.argument}={self.value}: {self.args[0]}"


@contextlib.contextmanager
def errors_about(argument: str, instead_of: str = "workdir") -> Iterator[None]:
    """Within it, an `ArgumentError` about `instead_of` is raised as one about `argument`."""
    try:
        yield
    except ArgumentError as error:
        if error.argument == instead_of:
            error.argument = argument
        raise


class NotFinite(UserError):
    """The loss or a weight is not finite: `what`, without the advice."""

    def __init__(self, text: str, what: str = ""):
        super().__init__(text)
        self.what = what or text


class Stopped(UserError):
    """The run was asked to stop and has saved its state."""

    exit_code = STOPPED
    prefix = ""


class Interrupted(Exception):
    """Work was abandoned because the run was asked to stop; the caller handles it."""


class WorkerLost(UserError):
    """Another process of the run does not answer."""

    exit_code = WORKER_LOST


def reason(error: BaseException) -> str:
    """The first line of a library's error, without TensorFlow's names of nodes."""
    text = str(getattr(error, "message", error)).strip() or type(error).__name__
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*", "", text.splitlines()[0])[:300]


@contextlib.contextmanager
def writing(what: str, advice: str = "") -> Iterator[None]:
    """Turns a failure to write (a full disk, no permission) into a `UserError`.

    Args:
      what: what is written, e.g. "the checkpoint of step 7".
      advice: added to the error.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {what}: {error.strerror or error}{advice}") from None
    except Exception as error:
        # TensorFlow's errors, recognised by their attributes.
        if not hasattr(error, "error_code") or not hasattr(error, "message"):
            raise
        raise UserError(f"cannot write {what}: {reason(error)}{advice}") from None
