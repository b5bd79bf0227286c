"""The restarts of a run after a loss that was not finite (`--on_nan=restore`)."""

import json
import os

import numpy as np

from train.errors import UserError, writing
from train.files import write_json

MAX_RESTARTS = 3


class Restarts:
    """The steps from which the run went on with another order of the data.

    They stand in `<workdir>/restarts.json`, so that order and dropout remain a function of the
    step and what is stored.

    Args:
      workdir: the run's folder.

    Raises:
      UserError: if the file is damaged.
    """

    def __init__(self, workdir: str):
        self.path = os.path.join(workdir, "restarts.json")
        self.steps = []
        if os.path.exists(self.path):
            try:
                with open(self.path, encoding="utf-8") as file:
                    self.steps = json.load(file)
            except (OSError, ValueError, RecursionError) as error:
                raise UserError(f"{self.path}: not a list of steps ({error})") from None
            if not isinstance(self.steps, list) or any(type(n) is not int for n in self.steps):
                raise UserError(f"{self.path}: not a list of steps, integers")

    def add(self, step: int, write: bool) -> None:
        """Notes a restart from `step`; `write`: into the file too (one process does). Raises
        UserError if it cannot be written."""
        self.steps.append(step)
        if write:
            with writing(self.path):
                write_json(self.path, self.steps)

    def seed(self, seed: int, step: int) -> int:
        """The seed of the data's order and of dropout for the steps after `step`.

        Args:
          seed: the run's seed, an int.
          step: steps done.

        Returns:
          int: `seed` itself as long as there was no restart.
        """
        number = sum(start <= step for start in self.steps)
        if number == 0:
            return seed
        return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
