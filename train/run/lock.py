"""Takes a folder for a run, and for nobody else as long as it lasts."""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator

from train.config import config_json as configuration
from train.config.pretrained import refuse_pretrained
from train.errors import UserError
from train.files import make_writable_folder

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # of file systems that have none


def prepare_workdir(workdir: str) -> None:
    """Creates a run's folder.

    Raises:
      UserError: if it cannot be written to or is in the package, or holds checkpoints whose
        `config.json` is gone.
    """
    refuse_pretrained(workdir)
    try:
        make_writable_folder(workdir)
        folder = os.path.join(workdir, "checkpoints")
        checkpoints = os.listdir(folder) if os.path.isdir(folder) else []
    except OSError as error:
        raise UserError(f"--workdir={workdir}: not writable ({error.strerror})") from None
    for name in ("checkpoints", "samples", "tensorboard"):
        path = os.path.join(workdir, name)
        if os.path.exists(path) and not os.path.isdir(path):
            raise UserError(f"--workdir={workdir}: {name} there is no folder, but must be one")
    indices = sorted(name for name in checkpoints if name.endswith(".index"))
    if indices and not os.path.exists(configuration.path_in(workdir)):
        raise UserError(
            f"--workdir={workdir}: holds checkpoints ({indices[0]}), but config.json, which says "
            "of what run, is missing; put it back, or use another --workdir"
        )


@contextlib.contextmanager
def claim(workdir: str) -> Iterator[None]:
    """Prepares the folder, and keeps other processes out of it while it is entered.

    The file `lock` there names the owner. What counts is the operating system's lock on it, which
    ends with the process, however that ends: a file that is left by a killed one means nothing.

    Raises:
      UserError: as `prepare_workdir`, or if another process has the folder, saying which.
    """
    prepare_workdir(workdir)
    path = os.path.join(workdir, "lock")
    try:
        file = _lock(path)
    except BlockingIOError:
        raise UserError(
            f"--workdir={workdir}: another run is at work here ({_read(path)}); wait for its end, "
            "stop it, or use another --workdir"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.remove(path)  # before the lock goes with the file's end


def _lock(path):
    """Opens and locks the file, and writes this process to it.

    Raises BlockingIOError if another process has it."""
    while True:
        file = open(path, "a", encoding="utf-8")
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in WITHOUT_LOCKS:
                    raise
                print(f"{path}: no locks here ({error.strerror}); start no other run", flush=True)
            if os.path.exists(path) and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                file.truncate(0)
                started = time.strftime("%Y-%m-%d %H:%M:%S")
                file.write(f"process {os.getpid()} on {socket.gethostname()}, since {started}\n")
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # of an owner who has just deleted it


def _read(path):
    """Who has the folder, as far as can be told."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip() or "it is just starting"
    except OSError:
        return "it is just ending"
