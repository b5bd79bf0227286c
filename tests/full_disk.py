"""A disk without room, as far as one process can see it."""

import contextlib
import resource


def limit_files(size):
    """From now on no file of this process can grow beyond `size` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@contextlib.contextmanager
def largest_file(size):
    """No file can grow beyond `size` bytes: a write there fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit_files(size)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
