"""The folder of a model that `train.pack` writes; `pixelcnn_tf.pretrained` reads it."""

import dataclasses
import hashlib
import os
import shutil

import keras
import numpy as np

from pixelcnn_tf import pretrained
from pixelcnn_tf.layers.masked_convolution import MaskedConv2D
from train.config.config_json import Saved
from train.errors import UserError
from train.files import write_json
from train.run.restore import Run

KEPT = "metrics.jsonl"  # of the run's folder


def card_of(run: Run, command: str, data_licence: str, note: str) -> dict:
    """What stands in `card.json` before the weights are written and scored.

    Args:
      run: the `Run`.
      command: that trained it.
      data_licence, note: texts.
    """
    model = run.averaged
    return {
        "model": keras.saving.serialize_keras_object(model),
        "parameters": model.count_params(),
        "step": run.step,
        "dataset": run.config.dataset,
        "data_licence": data_licence,
        "command": command,
        "note": note,
    }


def write_pack(run: Run, saved: Saved, folder: str) -> dict:
    """Writes all but the card.

    Args:
      run: the `Run`.
      saved: its `config.json`.
      folder: an empty one.

    Returns:
      What the card says of the weights.

    Raises:
      UserError: if a weight does not fit into half precision.
      OSError: if it cannot be written.
    """
    arrays = {}
    # What a mask hides has no meaning: as zeros it takes no room.
    masked = [layer for layer in run.averaged._flatten_layers() if isinstance(layer, MaskedConv2D)]
    masks = {layer.kernel.path: layer.mask for layer in masked}
    for key, variable in pretrained.weights_of(run.averaged).items():
        with np.errstate(over="ignore"):
            arrays[key] = (variable.numpy() * masks.get(variable.path, 1)).astype(np.float16)
        if not np.isfinite(arrays[key]).all():
            raise UserError(
                f"--workdir={run.config.workdir}: {variable.path} has a weight that is not finite "
                "in half precision (above 65504)"
            )
    path = os.path.join(folder, pretrained.WEIGHTS)
    np.savez_compressed(path, **arrays)
    # The paths are of the machine that trained it.
    config = saved.config.replace(workdir="", data_dir="")
    described = {"data": saved.data._asdict(), "global_batch_size": saved.global_batch_size}
    described |= {"versions": saved.versions}
    described |= {} if saved.read is None else {"read": saved.read._asdict()}
    write_json(os.path.join(folder, "config.json"), dataclasses.asdict(config) | described)
    source = os.path.join(run.config.workdir, KEPT)
    if os.path.exists(source):
        shutil.copyfile(source, os.path.join(folder, KEPT))
    with open(path, "rb") as file:
        return {"weights_sha256": hashlib.sha256(file.read()).hexdigest()}


def write_card(folder: str, card: dict) -> None:
    """Writes `card.json`. Raises OSError if it cannot."""
    write_json(os.path.join(folder, pretrained.CARD), card)
