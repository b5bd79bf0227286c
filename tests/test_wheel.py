"""The contents of a wheel: every module, their data files, the pretrained weights, nothing else."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import setuptools

import pixelcnn_tf

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, for which pytest brings its forerunner
    import tomli as tomllib

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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel."""
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip("setuptools 77 reads pyproject.toml")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a build leaves files beside the sources
    ignore = shutil.ignore_patterns("__pycache__", "parity")
    for name in (*PACKAGES, "tests", "benchmarks", "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_wheel(wheel):
    """Every module, the templates of the pages, and the pretrained weights."""
    files = [*ROOT.glob("pixelcnn_tf/pretrained/*/*"), *ROOT.glob("train/*/templates/*")]
    others = {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"}
    assert any(name.endswith("weights.npz") for name in others)
    assert {"train/report/templates/report.html", "train/report/templates/style.css"} < others
    with zipfile.ZipFile(wheel) as file:
        names = [name for name in file.namelist() if ".dist-info/" not in name]
    assert sorted(names) == sorted(MODULES | others)


@pytest.mark.slow
def test_samples_of_an_installed_wheel(wheel, tmp_path):
    """Where nothing of the repository is at hand."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", str(tmp_path / "site"), str(wheel)], check=True)
    command = [sys.executable, "-m", "train.sample", "--workdir=pretrained:digits"]
    command += ["--num_samples=2", "--output=two"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "two.png").exists()
    where = [sys.executable, "-c", "import train; print(train.__file__)"]
    told = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert told.stdout.startswith(str(tmp_path / "site"))
