"""What a wheel holds: every module of library and program, and nothing else of the repository."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import setuptools
import tomllib

import pixelcnn_tf

ROOT = Path(__file__).parents[1]
PACKAGES = ("pixelcnn_tf", "train")
MODULES = {
    path.relative_to(ROOT).as_posix()
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
}


def test_every_folder_of_modules_is_found():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    find = project["tool"]["setuptools"]["packages"]["find"]
    found = setuptools.find_namespace_packages(str(ROOT), **find)
    assert set(found) == {module.rsplit("/", 1)[0].replace("/", ".") for module in MODULES}
    # Without it `find_packages`, and with it an editor or a type checker, misses the folder.
    assert all((ROOT / name.replace(".", "/") / "__init__.py").exists() for name in found)


def test_the_citation_names_the_version():
    text = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {pixelcnn_tf.__version__}\n" in text


@pytest.mark.skipif(
    int(setuptools.__version__.split(".")[0]) < 77, reason="setuptools 77 reads pyproject.toml"
)
def test_wheel(tmp_path):
    source = tmp_path / "source"  # a build leaves files beside the sources
    ignore = shutil.ignore_patterns("__pycache__", "*.npz", "parity")
    for folder in (*PACKAGES, "tests", "benchmarks", "docs"):
        shutil.copytree(ROOT / folder, source / folder, ignore=ignore)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = [name for name in file.namelist() if ".dist-info/" not in name]
    assert sorted(names) == sorted(MODULES)
