"""Packed weights: a folder that `train.pack` writes and `pixelcnn_tf.pretrained` reads.

`--workdir=pretrained:NAME` names one in the package, `pretrained:./folder` any other.
"""

import dataclasses
import hashlib
import importlib.util
import os
import shutil

import numpy as np

from train.errors import ArgumentError
from train.files import write_json

PREFIX = "pretrained:"


def is_pretrained(workdir: str) -> bool:
    return workdir.startswith(PREFIX)


def find_folder(workdir: str) -> str:
    """The folder that `--workdir` names: of a run, or of packed weights.

    Raises:
      ArgumentError: if the package has no model of this name, listing those it has.
    """
    if not is_pretrained(workdir):
        return workdir
    name = workdir.removeprefix(PREFIX)
    if os.sep in name:
        return name
    # Found, not imported: that would start TensorFlow.
    (package,) = importlib.util.find_spec("pixelcnn_tf").submodule_search_locations
    folder = os.path.join(package, "pretrained")
    names = sorted(
        entry
        for entry in os.listdir(folder)
        if os.path.exists(os.path.join(folder, entry, "card.json"))
    )
    if name not in names:
        raise ArgumentError(
            "workdir",
            workdir,
            f"must be one of {', '.join(PREFIX + each for each in names)}, or {PREFIX} and a path "
            f"such as ./{name or 'folder'}",
        )
    return os.path.join(folder, name)


def output_folder(workdir: str) -> str:
    """Where files made from a run go by default: the run's folder, or
    `runs/pretrained-NAME`."""
    if not is_pretrained(workdir):
        return workdir
    name = os.path.basename(workdir.removeprefix(PREFIX).rstrip(os.sep))
    return os.path.join("runs", f"pretrained-{name}")


def check_not_pretrained(workdir: str) -> None:
    """Raises ArgumentError if a run is to be written to packed weights."""
    if is_pretrained(workdir):
        raise ArgumentError(
            "workdir",
            workdir,
            f"pretrained weights are read-only; train.main --init_from={workdir} starts a run from "
            "them",
        )


def write_pack(run, saved, folder: str, data_licence: str, command: str, note: str) -> dict:
    """Writes the averaged weights of a run, its configuration and log; not yet the card.

    Args:
      run: the `train.run.Run`.
      saved: its `RunConfig`, with the splits that the card's scores are of.
      folder: an empty one.
      data_licence, command, note: texts for the card.

    Returns:
      The card without its scores.

    Raises:
      ArgumentError: if a weight does not fit into half precision.
      OSError: if it cannot be written.
    """
    import keras

    from pixelcnn_tf import pretrained
    from pixelcnn_tf.layers.masked_convolution import MaskedConv2D

    model, arrays = run.model(), {}
    # Weights that a mask hides have no effect: zeros compress best.
    masked = [layer for layer in model._flatten_layers() if isinstance(layer, MaskedConv2D)]
    masks = {layer.kernel.path: layer.mask for layer in masked}
    for key, variable in pretrained.weights_of(model).items():
        with np.errstate(over="ignore"):
            arrays[key] = (variable.numpy() * masks.get(variable.path, 1)).astype(np.float16)
        if not np.isfinite(arrays[key]).all():
            raise ArgumentError(
                "workdir",
                run.workdir,
                f"{variable.path} has a weight that is not finite in half precision (above 65504)",
            )
    path = os.path.join(folder, pretrained.WEIGHTS)
    np.savez_compressed(path, **arrays)
    # The paths are those of the machine that trained it.
    config = saved.config.replace(workdir="", data_dir="")
    described = {"format_version": 2, "data": saved.data._asdict()}
    described |= {"global_batch_size": saved.global_batch_size, "versions": saved.versions}
    described |= {} if saved.fingerprint is None else {"read": saved.fingerprint._asdict()}
    write_json(os.path.join(folder, "config.json"), dataclasses.asdict(config) | described)
    if os.path.exists(run.path("metrics.jsonl")):
        shutil.copyfile(run.path("metrics.jsonl"), os.path.join(folder, "metrics.jsonl"))
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return {
        "model": keras.saving.serialize_keras_object(model),
        "parameters": model.count_params(),
        "step": run.step,
        "dataset": run.config.dataset,
        "data_licence": data_licence,
        "command": command,
        "note": note,
        "weights_sha256": digest,
    }


def write_card(folder: str, card: dict) -> None:
    """Writes `card.json`. Raises OSError if it cannot be written."""
    write_json(os.path.join(folder, "card.json"), card)
