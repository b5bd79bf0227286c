"""The Keras model of a run with `--condition=embedding:<file>`.

A run keeps a copy of the file, so that it needs nothing outside its folder, and `config.json` the
file's fingerprint: vectors of another model would mean nothing to it.
"""

import hashlib
import os
import shutil
import zipfile
from typing import NamedTuple

import keras

from train.config import config_json as configuration
from train.config.config import Config
from train.config.embedding_name import ENDINGS, file_of_embedding, is_embedding, kept_file
from train.errors import UserError, reason, writing
from train.files import whole


class EmbeddingFile(NamedTuple):
    """Where a Keras model is.

    Attributes:
      path: of the file.
      fingerprint: of its bytes, hexadecimal.
      what: the flag that it is for, for messages.
    """

    path: str
    fingerprint: str
    what: str


def fingerprint_of(path: str) -> str:
    """16 hexadecimal digits of the SHA-256 of a file. Raises OSError if it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def find_embedding(config: Config) -> EmbeddingFile | None:
    """The Keras model of a run that is begun or continued; None if it is not given vectors.

    A run that is continued takes its own copy where the file that the flag names is gone.

    Raises:
      UserError: if there is none, or it is not the one that the run in `config.workdir` was begun
        with.
    """
    if not is_embedding(config.condition):
        return None
    path, what = file_of_embedding(config.condition), f"--condition={config.condition}"
    saved = configuration.find(config.workdir)
    if saved is not None and saved.embedding and not os.path.exists(path):
        return kept_embedding(saved)
    try:
        found = fingerprint_of(path)
    except OSError as error:
        raise UserError(f"{what}: cannot be read ({error.strerror})") from None
    if saved is not None and saved.embedding not in ("", found):
        raise UserError(
            f"{what}: has the fingerprint {found}, but the run in {config.workdir} was begun with "
            f"{saved.embedding}: it was changed or is another one; put it back, or use another "
            "--workdir"
        )
    return EmbeddingFile(path, found, what)


def kept_embedding(saved: configuration.Saved) -> EmbeddingFile | None:
    """The copy that a run keeps; None if it is not given vectors.

    Raises:
      UserError: if it is gone or was changed.
    """
    if not is_embedding(saved.config.condition):
        return None
    path = kept_file(saved.config)
    what = f"--workdir={saved.config.workdir}"
    advice = f"put back the Keras model with the fingerprint {saved.embedding}"
    try:
        found = fingerprint_of(path)
    except OSError as error:
        raise UserError(
            f"{what}: {path}, its embedding, cannot be read ({error.strerror}); {advice}"
        ) from None
    if found != saved.embedding:
        raise UserError(f"{what}: {path}, its embedding, was changed; {advice}")
    return EmbeddingFile(path, found, what)


def keep_embedding(embedding: EmbeddingFile | None, config: Config) -> str:
    """Copies a Keras model into the run's folder, whole or not at all, unless it is there.

    Returns:
      Its fingerprint; "" if there is none.

    Raises:
      UserError: if it cannot be written, or was changed meanwhile.
    """
    if embedding is None:
        return ""
    path = kept_file(config)
    if not (os.path.exists(path) and fingerprint_of(path) == embedding.fingerprint):
        with writing(path), whole(path) as temporary:
            shutil.copyfile(embedding.path, temporary)
            if fingerprint_of(temporary) != embedding.fingerprint:
                raise UserError(f"{embedding.what}: was changed while the run was begun")
    return embedding.fingerprint


def load_encoder(embedding: EmbeddingFile | None) -> keras.Model | None:
    """The Keras model, in the scope of the present strategy; None if there is none.

    Raises:
      UserError: if it is none.
    """
    if embedding is None:
        return None
    path = embedding.path
    if path.endswith(ENDINGS[0]) and not zipfile.is_zipfile(path):
        raise UserError(
            f"{embedding.what}: {path} is no {ENDINGS[0]} file, or not a whole one; "
            "keras.Model.save writes such"
        )
    try:
        encoder = keras.saving.load_model(path, compile=False)
    except Exception as error:  # a damaged file, code that Keras refuses to run, an unknown layer
        raise UserError(
            f"{embedding.what}: {path} cannot be loaded by Keras ({_why(error)})"
        ) from None
    if not isinstance(encoder, keras.Model):
        raise UserError(f"{embedding.what}: is a {type(encoder).__name__}, must be a Keras model")
    return encoder


def _why(error):
    """The sentence of Keras' text that says why; the first ones only say that it failed."""
    told = str(error).rpartition("Exception encountered: ")[2]
    return reason(ValueError(told)) if told.strip() else reason(error)
