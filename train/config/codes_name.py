"""`--dataset=codes:<workdir>`: the codes that the VQ-VAE of another run gives its data set."""

import os

PREFIX = "codes:"


def run_of_codes(dataset: str) -> str | None:
    """The workdir of the VQ-VAE whose codes a `--dataset` names; None if it names no codes."""
    return dataset.removeprefix(PREFIX) if dataset.startswith(PREFIX) else None


def codes_path(workdir: str) -> str:
    """Where the codes of a VQ-VAE's data set are kept, beside its run."""
    return os.path.join(workdir, "codes.npz")
