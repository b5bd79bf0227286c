"""Calls a command of `train` within this process, as `python -m train.X` would."""

import contextlib
import io

from absl import flags

from train.errors import UserError


def call(module, *arguments):
    """Runs `main` of a command's module with these flags.

    Returns:
      What it wrote to the standard output.

    Raises:
      UserError: as the command, which would tell it and end with its exit code.
    """
    before = set(flags.FLAGS)
    module.define()
    written = io.StringIO()
    try:
        flags.FLAGS(["program", *map(str, arguments)])
        with contextlib.redirect_stdout(written):
            module.main([])
    finally:
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()
    return written.getvalue()


def refusal(module, *arguments):
    """The one line that a command prints when it rejects these flags."""
    try:
        call(module, *arguments)
    except flags.Error as error:
        return str(error)
    except UserError as error:
        assert error.exit_code == 2 and "\n" not in str(error)
        return f"{error.prefix}{error}".removeprefix("error: ")
    raise AssertionError(f"not refused: {arguments}")
