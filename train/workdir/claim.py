"""Takes a folder for a run."""

import os
import tempfile

from train.errors import UserError


def prepare_workdir(config):
    """Creates the run's folder. Raises UserError if it cannot be written to."""
    try:
        os.makedirs(config.workdir, exist_ok=True)
        with tempfile.TemporaryFile(dir=config.workdir):
            pass
    except OSError as error:
        raise UserError(f"--workdir={config.workdir}: not writable ({error.strerror})") from None
