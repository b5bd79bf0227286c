"""The codes of a VQ-VAE's data set, as `train/run/codes.py` has kept them beside its run."""

import os
import re

import numpy as np

from train.config.codes_name import codes_path, run_of_codes
from train.data.arrays import load_npz
from train.data.dataset import Dataset
from train.data.options import DataOptions
from train.errors import UserError


def read_fingerprint(path: str) -> str:
    """The fingerprint of the VQ-VAE whose codes a file holds; "" if it holds none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return str(file["fingerprint"])
    except Exception:  # there is none, or it is damaged: it is made anew
        return ""


def load_codes(name: str, options: DataOptions) -> Dataset:
    """Loads `codes:<workdir of a VQ-VAE>`. The splits are those that it was trained and scored on,
    `train` and `test`, and its validation split.

    Raises:
      UserError: if the codes are not there, or are no codes, or a split is asked for that was not
        encoded.
    """
    path = codes_path(run_of_codes(name))
    if not os.path.exists(path):
        raise UserError(f"--dataset={name}: {path} is missing; train.main writes it")
    dataset = load_npz(path, options)
    with np.load(path, allow_pickle=False) as file:
        scored, num_classes = str(file["scored"]), int(file["num_classes"])
    if scored != "test":
        for flag in ("train_split", "eval_split"):
            value = getattr(options, flag)
            if re.search(r"\btest\b", value):
                raise UserError(
                    f"--{flag}={value}: --dataset={name} has the codes of train and of {scored}, "
                    "on which its VQ-VAE was scored; those of test were not encoded"
                )
    return dataset._replace(
        name=name,
        num_classes=None if dataset.num_classes is None else num_classes,
        scored=dataset.scored if options.eval_split else scored,
        levels_are_known=True,
        fingerprint=read_fingerprint(path),
    ).add_note("codes of a VQ-VAE: bits/dim are bits a code")
