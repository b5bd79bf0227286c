"""The Keras model of a run with `--condition=embedding:<file>`.

A run keeps a copy of the file, so that it needs nothing outside its folder, and the file's
fingerprint in `config.json`: vectors of another model would mean nothing to it.
"""

import hashlib
import os
import shutil
import zipfile
from typing import NamedTuple

import keras

from train.config.config import KERAS_FILES
from train.errors import ArgumentError, UserError, reason, writing
from train.files import atomic_write


class EmbeddingFile(NamedTuple):
    """Where a Keras model is.

    Attributes:
      path: of the file.
      fingerprint: 16 hexadecimal digits of the SHA-256 of its bytes.
      argument, value: what names it, for errors: `condition` or `workdir`.
    """

    path: str
    fingerprint: str
    argument: str
    value: str


def fingerprint_of(path: str) -> str:
    """16 hexadecimal digits of the SHA-256 of a file. Raises OSError if it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def _kept_file(run):
    """The run's own copy."""
    _, extension = os.path.splitext(run.config.condition)
    return run.path(f"embedding{extension}")


def find_embedding(run) -> EmbeddingFile | None:
    """The Keras model of a `Run`; None if it is not conditioned on vectors.

    A run that has begun uses its own copy; if the file that the flag names is still there, it must
    be the same.

    Raises:
      UserError: if there is none, or it is not the one that the run was started with.
    """
    config = run.config
    if config.embedding_file is None:
        return None
    argument = "condition", config.condition
    if run.saved is None:
        try:
            found = fingerprint_of(config.embedding_file)
        except OSError as error:
            raise ArgumentError(*argument, f"cannot be read ({error.strerror})") from None
        return EmbeddingFile(config.embedding_file, found, *argument)
    path, expected = _kept_file(run), run.saved.embedding
    advice = f"restore the Keras model with the fingerprint {expected}"
    try:
        found = fingerprint_of(path)
    except OSError as error:
        text = f"its embedding {path} cannot be read ({error.strerror}); {advice}"
        raise ArgumentError("workdir", run.workdir, text) from None
    if found != expected:
        text = f"its embedding {path} was changed; {advice}"
        raise ArgumentError("workdir", run.workdir, text)
    return EmbeddingFile(path, found, "workdir", run.workdir)


def check_same_embedding(run) -> None:
    """Raises ArgumentError if the file that `--condition` names is there, but is not the one that
    the run was started with."""
    path = run.config.embedding_file
    if run.saved is None or path is None or not os.path.exists(path):
        return
    found = fingerprint_of(path)
    if found != run.saved.embedding:
        raise ArgumentError(
            "condition",
            run.config.condition,
            f"has the fingerprint {found}, but the run in {run.workdir} was started with "
            f"{run.saved.embedding}: the file was changed or is another one; restore it, or use "
            "another --workdir",
        )


def keep_embedding(run) -> str:
    """Copies the Keras model of a run into its folder atomically, unless it is there.

    Returns:
      Its fingerprint.

    Raises:
      UserError: if it cannot be written, or was changed meanwhile.
    """
    embedding, path = find_embedding(run), _kept_file(run)
    if not (os.path.exists(path) and fingerprint_of(path) == embedding.fingerprint):
        with writing(path), atomic_write(path) as temporary:
            shutil.copyfile(embedding.path, temporary)
            if fingerprint_of(temporary) != embedding.fingerprint:
                raise UserError(f"{embedding.path}: was changed while the run was started")
    return embedding.fingerprint


def load_encoder(embedding: EmbeddingFile | None) -> keras.Model | None:
    """The Keras model, in the scope of the current strategy; None if there is none.

    Raises:
      ArgumentError: if the file is not a Keras model.
    """
    if embedding is None:
        return None
    path, argument = embedding.path, (embedding.argument, embedding.value)
    if path.endswith(KERAS_FILES[0]) and not zipfile.is_zipfile(path):
        text = f"{path} is not a complete {KERAS_FILES[0]} file; keras.Model.save writes one"
        raise ArgumentError(*argument, text)
    try:
        encoder = keras.saving.load_model(path, compile=False)
    except Exception as error:  # a damaged file, code that Keras refuses to run, an unknown layer
        text = f"{path} cannot be loaded by Keras ({_cause(error)})"
        raise ArgumentError(*argument, text) from None
    if not isinstance(encoder, keras.Model):
        raise ArgumentError(*argument, f"is a {type(encoder).__name__}, must be a Keras model")
    return encoder


def _cause(error):
    """The sentence of Keras' text that says why; the first ones only say that it failed."""
    cause = str(error).rpartition("Exception encountered: ")[2]
    return reason(ValueError(cause)) if cause.strip() else reason(error)
