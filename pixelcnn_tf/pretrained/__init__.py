"""Pretrained weights.

    import pixelcnn_tf.pretrained
    model = pixelcnn_tf.pretrained.load("digits")
    images = model.sample(16, seed=1)

A folder here holds one model: `weights.npz`, its averaged weights in half precision; `card.json`,
the model card (configuration, data, training command, scores); `config.json` and `metrics.jsonl` of
the run that trained it. `python -m train.pack` writes such folders; `load` also accepts their path.
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
    """The names of the models in this package."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob(f"*/{CARD}"))


def folder_of(name: str | os.PathLike) -> str:
    """The folder of a model.

    Args:
      name: one of `names()`, or the path of a folder, which must contain a separator.

    Raises:
      ValueError: for an unknown name; it lists the known ones.
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
    """The model card: data and licence, training command, scores.

    Args:
      name: see `load`.

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
        raise ValueError(f"{path}: not a model card ({error})") from None


def load(name: str | os.PathLike) -> ImageModel:
    """Builds a model with its pretrained weights, in float32.

    Args:
      name: one of `names()`, or the path of a folder that `train.pack` wrote.

    Raises:
      ValueError: for an unknown name, and for a damaged or foreign folder.
    """
    description, folder = card(name), folder_of(name)
    try:
        model = keras.saving.deserialize_keras_object(description["model"])
    except Exception as error:  # Keras raises many types for unknown objects
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{os.path.join(folder, CARD)}: not a model ({first})") from None
    if not isinstance(model, ImageModel):
        kind = type(model).__name__
        raise ValueError(f"{os.path.join(folder, CARD)}: not a model of pixelcnn_tf ({kind})")
    path = os.path.join(folder, WEIGHTS)
    arrays = _read(path, description["weights_sha256"])
    variables = weights_of(model)
    for key, variable in variables.items():
        if key not in arrays or arrays[key].shape != tuple(variable.shape):
            found = arrays[key].shape if key in arrays else "missing"
            raise ValueError(
                f"{path}: does not fit the model in {CARD} ({variable.path} must have the shape "
                f"{tuple(variable.shape)}, got {found})"
            )
    if len(arrays) != len(variables):
        raise ValueError(
            f"{path}: does not fit the model in {CARD} (must have {len(variables)} arrays, got "
            f"{len(arrays)})"
        )
    for key, variable in variables.items():
        variable.assign(arrays[key].astype(np.float32))
    return model


def weights_of(model: ImageModel) -> dict[str, keras.Variable]:
    """The variables of a model by their names in `weights.npz`: "000", "001", ..., in the model's
    order."""
    variables = [*model.trainable_variables, *model.non_gradient_variables]
    return {f"{number:03d}": variable for number, variable in enumerate(variables)}


def _read(path, sha256):
    """The arrays of a file of weights. Raises ValueError unless it has this SHA-256."""
    try:
        content = Path(path).read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"its SHA-256 differs from {CARD}: damaged, or of another model")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from None
