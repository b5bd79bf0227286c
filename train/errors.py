"""Why a program ended, told in one sentence instead of a traceback, and in its exit code."""

import contextlib
import os
import sys

from absl import app, logging

STOPPED = 75  # EX_TEMPFAIL of sysexits.h: preempted, all is well, the same command goes on
WORKER_LOST = 69  # EX_UNAVAILABLE of sysexits.h: another process of the run is gone


class UserError(Exception):
    """Something that the user can mend; its text says what and how."""

    exit_code = 2
    prefix = "error: "


class NotFinite(UserError):
    """The loss or a parameter is not finite: `what`, without the advice."""

    def __init__(self, text, what=""):
        super().__init__(text)
        self.what = what or text


class Stopped(UserError):
    """The run was asked to stop, and has saved its state."""

    exit_code = STOPPED
    prefix = ""


class WorkerLost(UserError):
    """Another process of the run does not answer."""

    exit_code = WORKER_LOST


@contextlib.contextmanager
def writing(what, advice=""):
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
        reason = str(error.message).splitlines()[0][:300]
        raise UserError(f"cannot write {what}: {reason}{advice}") from None


def run(main):
    """Runs `main(argv)` under absl; a `UserError` becomes one line and its exit code."""

    def wrapped(argv):
        if len(argv) > 1:
            print(f"error: unknown argument {argv[1]!r}: flags begin with --", file=sys.stderr)
            return 2
        logging.set_verbosity(logging.ERROR)  # tfds and TensorFlow tell much by absl
        try:
            return main(argv)
        except UserError as error:
            print(f"{error.prefix}{error}", file=sys.stderr)
            if os.environ.get("TF_CONFIG"):
                # TensorFlow's shutdown would wait for the other processes of the run.
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(error.exit_code)
            return error.exit_code

    app.run(wrapped)
