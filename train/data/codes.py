"""The codes of a VQ-VAE's data set, which `train/run/codes.py` writes beside its run."""

import os
import re

import numpy as np

from train.data.arrays import load_npz
from train.data.dataset import Dataset
from train.data.options import DataOptions
from train.errors import ArgumentError


def codes_file(workdir: str) -> str:
    """Where the codes of a VQ-VAE's data set are kept."""
    return os.path.join(workdir, "codes.npz")


def read_fingerprint(path: str) -> str:
    """The fingerprint of the VQ-VAE whose codes a file holds; "" if it holds none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return str(file["fingerprint"])
    except Exception:  # missing or damaged: it is written again
        return ""


def load_codes(name: str, options: DataOptions) -> Dataset:
    """Loads `codes:<workdir of a VQ-VAE>`. The splits are those that it was trained and scored on,
    `train` and `test`, and its validation split.

    Raises:
      ArgumentError: if the codes are missing or damaged, or a split is asked for that was not
        encoded.
    """
    path = codes_file(name.partition(":")[2])
    if not os.path.exists(path):
        raise ArgumentError("dataset", name, f"{path} is missing; train.main writes it")
    dataset = load_npz(path, options)
    with np.load(path, allow_pickle=False) as file:
        scored, num_classes = str(file["scored"]), int(file["num_classes"])
    if scored != "test":
        for argument in ("train_split", "eval_split"):
            value = getattr(options, argument)
            if re.search(r"\btest\b", value):
                raise ArgumentError(
                    argument,
                    value,
                    f"--dataset={name} has the codes of train and of {scored}, on which its VQ-VAE "
                    "was scored; test was not encoded",
                )
    return dataset._replace(
        name=name,
        num_classes=None if dataset.num_classes is None else num_classes,
        eval_name=dataset.eval_name if options.eval_split else scored,
        levels_are_known=True,
        fingerprint=read_fingerprint(path),
    ).add_note("codes of a VQ-VAE: bits/dim are bits per code")
