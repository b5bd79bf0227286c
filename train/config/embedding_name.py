"""`--condition=embedding:<file>`: images given the vector that a Keras model gives of them."""

import os

PREFIX = "embedding:"
ENDINGS = (".keras", ".h5")  # of the files that Keras loads


def file_of_embedding(condition: str) -> str | None:
    """The file of the Keras model that a `--condition` names; None if it names none."""
    if not condition.startswith(PREFIX):
        return None
    return os.path.expanduser(condition.removeprefix(PREFIX))


def is_embedding(condition: str) -> bool:
    """Whether a `--condition` names a file that may be a Keras model."""
    file = file_of_embedding(condition)
    return file is not None and os.path.splitext(file)[1] in ENDINGS


def kept_file(config) -> str:
    """Where a run keeps its copy of the Keras model."""
    _, ending = os.path.splitext(config.condition)
    return os.path.join(config.workdir, f"embedding{ending}")
