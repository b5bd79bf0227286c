"""Mistakes of the user, told in one sentence instead of a traceback."""

import sys

from absl import app, logging


class UserError(Exception):
    """Something that the user can mend; its text says what and how."""


def run(main):
    """Runs `main(argv)` under absl; a `UserError` becomes one line and exit code 2."""

    def wrapped(argv):
        if len(argv) > 1:
            print(f"error: unknown argument {argv[1]!r}: flags begin with --", file=sys.stderr)
            return 2
        logging.set_verbosity(logging.ERROR)  # tfds and TensorFlow tell much by absl
        try:
            return main(argv)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    app.run(wrapped)
