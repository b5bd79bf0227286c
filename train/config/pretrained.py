"""`--workdir=pretrained:NAME`: weights that come with the package, in place of a run's folder."""

import importlib.util
import os

from train.errors import UserError

PREFIX = "pretrained:"


def is_pretrained(workdir: str) -> bool:
    return workdir.startswith(PREFIX)


def read_from(workdir: str) -> str:
    """The folder that `--workdir` names: of a run, or of a model in the package.

    Raises:
      UserError: if the package has no model of this name, listing those it has.
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
        raise UserError(
            f"--workdir={workdir}: must be one of {', '.join(PREFIX + each for each in names)}, or "
            f"{PREFIX} and a path such as ./{name or 'folder'}"
        )
    return os.path.join(folder, name)


def write_to(workdir: str) -> str:
    """The folder into which goes what is made of `--workdir`, unless something else is said: the
    run's own, or for a model in the package `runs/pretrained-NAME`."""
    if not is_pretrained(workdir):
        return workdir
    name = os.path.basename(workdir.removeprefix(PREFIX).rstrip(os.sep))
    return os.path.join("runs", f"pretrained-{name}")


def refuse_pretrained(workdir: str) -> None:
    """Raises UserError if `--workdir`, into which a run is to be written, is in the package."""
    if is_pretrained(workdir):
        raise UserError(
            f"--workdir={workdir}: holds finished weights, no run; train.main "
            f"--init_from={workdir} starts one from them"
        )
