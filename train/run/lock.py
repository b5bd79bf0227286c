"""Locks a run's folder: one training at a time."""

import os

import filelock

from train.errors import ArgumentError
from train.files import make_writable_folder

NAME = "lock"
FORBIDDEN = "*?[\\"  # TensorFlow takes the path of a checkpoint for a pattern


def check_path(workdir: str) -> None:
    """Raises ArgumentError for a path that TensorFlow would take for a pattern."""
    if set(FORBIDDEN) & set(os.path.abspath(workdir)):
        text = f"the path must not contain any of {' '.join(FORBIDDEN)}"
        raise ArgumentError("workdir", workdir, text)


def prepare_folder(workdir: str) -> None:
    """Creates a run's folder.

    Raises:
      ArgumentError: if it cannot be written to, or holds checkpoints without a `config.json`.
    """
    check_path(workdir)
    try:
        make_writable_folder(workdir)
        folder = os.path.join(workdir, "checkpoints")
        checkpoints = os.listdir(folder) if os.path.isdir(folder) else []
    except OSError as error:
        raise ArgumentError("workdir", workdir, f"not writable ({error.strerror})") from None
    for name in ("checkpoints", "samples", "tensorboard"):
        path = os.path.join(workdir, name)
        if os.path.exists(path) and not os.path.isdir(path):
            raise ArgumentError("workdir", workdir, f"{name} in it is a file, must be a folder")
    indices = sorted(name for name in checkpoints if name.endswith(".index"))
    if indices and not os.path.exists(os.path.join(workdir, "config.json")):
        raise ArgumentError(
            "workdir",
            workdir,
            f"holds checkpoints ({indices[0]}), but config.json is missing; restore it, or use "
            "another --workdir",
        )


def lock_workdir(workdir: str) -> filelock.BaseFileLock:
    """Locks the folder; the lock ends with the process, however that ends.

    Raises:
      ArgumentError: if another process holds the lock, or it cannot be written.
    """
    lock = filelock.FileLock(os.path.join(workdir, NAME), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ArgumentError(
            "workdir",
            workdir,
            "another process is training in this folder; wait for its end, stop it, or use "
            "another --workdir",
        ) from None
    except (OSError, NotImplementedError) as error:
        raise ArgumentError("workdir", workdir, f"cannot be locked ({error})") from None
    return lock


def release(lock: filelock.BaseFileLock) -> None:
    """Releases the lock and removes its file."""
    path = lock.lock_file
    if os.path.exists(path):
        os.remove(path)  # before the lock is released: another process would lose its own
    lock.release()
