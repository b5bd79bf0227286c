"""The versions that a run was computed with."""

import importlib.metadata
import platform

PACKAGES = ("pixelcnn_tf", "tensorflow", "keras", "numpy")


def versions() -> dict[str, str]:
    """Name -> version of Python and the packages that decide what a run computes; a package that
    is on the path without being installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
