"""Trained weights that come with the package.

    import pixelcnn_tf.pretrained
    model = pixelcnn_tf.pretrained.load("digits")
    images = model.sample(16, seed=1)

A folder here holds one model: `weights.npz`, its averaged weights in half precision, `card.json`,
which says what it is and how it was made, and `config.json` and `metrics.jsonl` of the run that
trained it. `python -m train.pack` writes such a folder; one that stands elsewhere is loaded by its
path.
"""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import keras
import numpy as np

from pixelcnn_tf.models.image_model import ImageModel

WEIGHTS, CARD = "weights.npz", "card.json"


def names() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob(f"*/{CARD}"))


def folder_of(name: str | os.PathLike) -> str:
    """The folder of a model.

    Args:
      name: one of `names()`, or the path of a folder, with a separator in it.

    Raises:
      ValueError: for an unknown name, listing those there are.
    """
    name = os.fspath(name)
    if os.sep in name:
        return name
    if name not in names():
        known = ", ".join(names())
        raise ValueError(
            f"name={name!r}: must be one of {known}, or a path such as ./{name or 'folder'}"
        )
    return str(Path(__file__).parent / name)


def card(name: str | os.PathLike) -> dict:
    """What a model is: its data and their licence, the command that trained it, its scores.

    Args:
      name: as `load`.

    Raises:
      ValueError: for an unknown name, or if the card cannot be read.
    """
    path = os.path.join(folder_of(name), CARD)
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        if not isinstance(found, dict) or not {"model", "weights_sha256"} <= set(found):
            raise ValueError("model or weights_sha256 is missing")
        return found
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not the card of a model ({error})") from None


def load(name: str | os.PathLike) -> ImageModel:
    """Builds a model and gives it its trained weights, in float32.

    Args:
      name: one of `names()`, or the path of a folder that `train.pack` wrote.

    Raises:
      ValueError: for an unknown name, listing those there are, and for a folder that is damaged or
        holds something else.
    """
    description, folder = card(name), folder_of(name)
    try:
        model = keras.saving.deserialize_keras_object(description["model"])
    except Exception as error:  # Keras raises many types for what it does not know
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{os.path.join(folder, CARD)}: describes no model ({first})") from None
    if not isinstance(model, ImageModel):
        kind = type(model).__name__
        raise ValueError(f"{os.path.join(folder, CARD)}: describes no model ({kind})")
    path = os.path.join(folder, WEIGHTS)
    arrays = _read(path, description["weights_sha256"])
    variables = weights_of(model)
    for key, variable in variables.items():
        if key not in arrays or arrays[key].shape != tuple(variable.shape):
            found = arrays[key].shape if key in arrays else "missing"
            raise ValueError(
                f"{path}: not of the model in {CARD} ({variable.path} is {found} there, must be "
                f"{tuple(variable.shape)})"
            )
    if len(arrays) != len(variables):
        raise ValueError(
            f"{path}: not of the model in {CARD} ({len(arrays)} arrays, the model has "
            f"{len(variables)})"
        )
    for key, variable in variables.items():
        variable.assign(arrays[key].astype(np.float32))
    return model


def weights_of(model: ImageModel) -> dict[str, keras.Variable]:
    """The variables of a model by the names that they have in `weights.npz`: "000", "001", ..., in
    the order of the model."""
    variables = [*model.trainable_variables, *model.state]
    return {f"{number:03d}": variable for number, variable in enumerate(variables)}


def _read(path, sha256):
    """The arrays of a file of weights. Raises ValueError if it is not the one with this SHA-256."""
    try:
        content = Path(path).read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"its SHA-256 is not that in {CARD}: damaged, or of another model")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be used ({error})") from None
