"""The layers of library and program: a module imports only from its own layer and those below.

Read from the syntax trees, so nothing is imported, and imports inside functions count too.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the bottom to the top. Names on one line stand side by side.
LIBRARY = [
    ["levels", "random", "checks", "renamed", "input_range", "grid", "conditions"],
    ["layers"],
    ["likelihoods"],
    ["optimization", "losses", "metrics"],
    ["sampling"],
    ["models"],
    ["official", "export", "codec", "callbacks", "distribution", "pretrained"],
    ["__init__"],
]
COMMANDS = ["main", "evaluate", "sample", "score", "compress", "decompress"]
COMMANDS += ["export", "import_official", "plot", "report", "demo", "pack", "embedding"]
PROGRAM = [
    ["__init__", "errors", "files", "command", "progress"],
    ["config"],
    ["flags", "devices"],
    ["data"],
    ["run"],
    ["sampling", "scoring", "compression", "serving"],
    ["training"],
    COMMANDS,
]
LAYERS = {"pixelcnn_tf": LIBRARY, "train": PROGRAM}

# Imports inside functions only delay what takes seconds or may be missing.
DELAYED_PACKAGES = {  # package -> why
    "constriction": "extra codec",
    "gradio": "extra demo",
    "matplotlib": "a second; only for pictures",
    "requests": "only to ask whether a download can work",
    "sklearn": "seconds; only for the digits and AUROC",
    "tensorflow_datasets": "seconds; only for its data sets",
    "tensorflow_serving": "extra serving",
}
# --help and wrong flags come at once; `command` starts TensorFlow.
DELAYED_TENSORFLOW = {
    f"train.{name}" for name in (*COMMANDS, "command", "run.run", "run.pack", "run.metrics")
}
DELAYED_TENSORFLOW |= {"train.report.__main__", "train.demo.__main__"}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path for package in LAYERS for path in sorted((ROOT / package).rglob("*.py"))
}


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(name):
    """`(module, in a function)` of every import of a module, as far as it is executed."""
    found = []

    def visit(node, inside):
        if is_type_checking(node):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, inside) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"  # perhaps a module itself
                found.append((whole if whole in FILES else node.module, inside))
        inside = inside or isinstance(node, (ast.FunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(FILES[name].read_text()), False)
    return found


IMPORTS = {name: imports(name) for name in FILES}


def layer(name):
    """`(package, layer, height)` of a module."""
    package, *rest = name.split(".")
    own = rest[0] if rest else "__init__"
    for height, names in enumerate(LAYERS[package]):
        if own in names:
            return package, own, height
    raise AssertionError(f"{name}: {own!r} is in no layer of tests/test_architecture.py")


@pytest.mark.parametrize("name", FILES)
def test_imports_come_from_below(name):
    package, own, height = layer(name)
    for module, _ in IMPORTS[name]:
        if module not in FILES:
            continue
        other_package, other, other_height = layer(module)
        if package == "pixelcnn_tf":
            assert other_package == package, f"{name} imports {module}, of the program"
        if other_package == package:
            assert other_height <= height, f"{name} imports {module}, which stands above it"
            if own in COMMANDS:
                alone = other == own or other not in COMMANDS
                # The demo shows the report's figures.
                assert alone or (own, other) == ("demo", "report"), f"{name} imports {module}"


@pytest.mark.parametrize("name", FILES)
def test_imports_stand_at_the_top(name):
    delayed = [module for module, inside in IMPORTS[name] if inside]
    if name not in DELAYED_TENSORFLOW:
        delayed = [module for module in delayed if module.split(".")[0] not in DELAYED_PACKAGES]
        assert not delayed, f"{name} imports {delayed} inside a function"


def test_no_import_cycles():
    finished = set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in finished:
            for module, _ in IMPORTS[name]:
                if module in FILES:
                    visit(module, [*path, name])
            finished.add(name)

    for name in FILES:
        visit(name, [])


def test_flags_need_no_tensorflow():
    """Of what the configuration and the commands import at the top, nothing is TensorFlow."""
    heavy = {"tensorflow", "keras", "pixelcnn_tf"}
    commands = [f"train.{name}" for name in COMMANDS if name != "plot"]  # it only reads files
    commands += ["train.report.__main__", "train.demo.__main__"]
    waiting = [name for name in FILES if name.startswith("train.config")]
    waiting += [name for name in commands if name in FILES]
    seen = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for module, inside in IMPORTS[name]:
            if not inside:
                assert module.split(".")[0] not in heavy, f"{name} imports {module} at the top"
                if module in FILES:
                    waiting.append(module)
