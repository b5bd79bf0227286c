"""README and docs: their examples run, their commands, flags, links and pictures exist."""

import ast
import dataclasses
import doctest
import functools
import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest
import tensorflow as tf

import pixelcnn_tf
import train.embedding
from pixelcnn_tf import PixelCNNPlusPlus
from train.config.config import Config

ROOT = Path(__file__).parents[2]
PAGES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.glob("docs/**/*.md"))}
PAGES = {name: path for name, path in PAGES.items() if "/api/" not in name}
PAGES["README.md"] = ROOT / "README.md"
NOTES = {name: ROOT / name for name in ("BUILD_NOTES.md", "CHANGELOG.md", "CONTRIBUTING.md")}
NOTEBOOKS = {
    path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.glob("experiments/*/NOTES.md"))
}
# The client of a server that must run: tests/program/output/test_export.py runs it against one.
NEEDS_A_SERVER = "import grpc"
HELP = {"help", "helpshort", "helpfull"}  # absl's own flags
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(path, language):
    return [text for kind, text in BLOCK.findall(path.read_text()) if kind == language]


def python_of(path):
    return [text for text in blocks(path, "python") if not text.startswith(NEEDS_A_SERVER)]


WITH_PYTHON = [page for page in PAGES if python_of(PAGES[page])]
# They compile several models.
LONG = {"docs/guides/keras.md", "docs/guides/migrate_tfp.md", "docs/start.md", "docs/results.md"}
WITH_WEIGHTS = {"docs/results.md", "docs/start.md", "README.md"}  # of the whole network


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow) if page in LONG else page for page in WITH_PYTHON],
)
def test_python(page, tmp_path, monkeypatch):
    """The blocks of a page, one after the other in one namespace; PixelCNN++ at one resolution,
    which is traced sooner."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    if page not in WITH_WEIGHTS:
        make = PixelCNNPlusPlus.__init__
        one_stage = functools.partialmethod(make, num_stages=1)
        monkeypatch.setattr(PixelCNNPlusPlus, "__init__", one_stage)
    for number, block in enumerate(python_of(PAGES[page])):
        exec(compile(block, f"{page}, python block {number}", "exec"), names)


def commands(path):
    """`(command, flags)` of every `python -m train.X`, in blocks and in the text."""
    page = path.read_text()
    lines = "".join(blocks(path, "sh")).replace("\\\n", " ").splitlines()
    lines += [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", BLOCK.sub("", page))]
    for line in lines:
        for command, rest in re.findall(r"python -m train\.(\w+)(.*)", line):
            yield command, re.findall(r"--(\w+)", rest.split("#")[0])


def known_flags(command):
    """The names of a command's flags, read from its source, since some import TensorFlow."""
    if command == "main":
        return {field.name for field in dataclasses.fields(Config)} | HELP
    tree = ast.parse(source_of(command).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = set(train.embedding.DATA) if command == "embedding" else set()
    short = {"text", "integer", "number"}  # DEFINE_... under a short name
    for call in calls:
        function = ast.unparse(call.func)
        if "DEFINE_" in function or function in short:
            found.add(call.args[0].value)
        if function == "flags.define":
            found |= {argument.value for argument in call.args}
            found |= {keyword.arg for keyword in call.keywords}
    return found | HELP


def source_of(command):
    """The file of a command."""
    path = ROOT / "train" / f"{command}.py"
    return path if path.exists() else ROOT / "train" / command / "__main__.py"


@pytest.mark.parametrize("page", [*PAGES, *NOTES])
def test_commands_and_flags(page):
    for command, given in commands((PAGES | NOTES)[page]):
        assert source_of(command).exists(), f"{page}: train.{command}"
        unknown = set(given) - known_flags(command)
        assert not unknown, f"{page}: python -m train.{command} has no flag {unknown}"


def test_commands_are_found():
    """That the pattern finds what it should: flags on the next line, commands in the text."""
    found = [flags for name, flags in commands(PAGES["docs/guides/train.md"]) if name == "main"]
    assert ["dataset", "config", "max_steps"] in found
    assert "workdir" in known_flags("plot") and "dtype" in known_flags("main")


def test_programs_named_in_the_text_exist():
    text = " ".join(path.read_text() for path in (PAGES | NOTES).values())
    for name in set(re.findall(r"python ((?:benchmarks|experiments|docs)/[\w/]+\.py)", text)):
        assert (ROOT / name).exists(), name
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make (\w+)`", text)) <= set(targets)


def anchors(path):
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    text = BLOCK.sub("", path.read_text())
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title.lower())) for title in titles}


@pytest.mark.parametrize("page", [*PAGES, *NOTES, *NOTEBOOKS])
def test_links_and_pictures(page):
    path = (PAGES | NOTES | NOTEBOOKS)[page]
    for link in LINK.findall(BLOCK.sub("", path.read_text())):
        if re.match(r"https?:|mailto:", link):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page}: {link}"


def test_files_named_in_the_text():
    """Every path of a Python file that stands in code style exists."""
    folders = ["", "pixelcnn_tf", "docs"]
    for page, path in (PAGES | NOTES).items():
        for name in re.findall(r"`((?:\w+/)+\w+\.py)`", path.read_text()):
            assert any((ROOT / folder / name).exists() for folder in folders), f"{page}: {name}"
    for page, path in (PAGES | NOTEBOOKS).items():
        for name in re.findall(r"\b(?:benchmarks|experiments)/(?:\w+/)*\w+\.py", path.read_text()):
            assert (ROOT / name).exists(), f"{page}: {name}"


def test_flag_reference_is_current():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate_flags.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert PAGES["docs/reference/flags.md"].read_text() == module.page(), (
        "run python docs/generate_flags.py"
    )


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def library_modules():
    found = pkgutil.walk_packages(pixelcnn_tf.__path__, "pixelcnn_tf.")
    return ["pixelcnn_tf", *sorted(module.name for module in found)]


def test_docstrings():
    """The `>>>` lines of the library's docstrings."""
    finder, tried = doctest.DocTestFinder(), 0
    for name in library_modules():
        module = importlib.import_module(name)
        for test in finder.find(module, name, extraglobs={"tf": tf}):
            result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
            assert not result.failed, test.name
            tried += result.attempted
    assert tried >= 10
