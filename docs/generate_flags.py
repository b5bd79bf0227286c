"""Writes docs/reference/flags.md from the code: `python docs/generate_flags.py`."""

import dataclasses
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from train.config.config import Config  # noqa: E402
from train.config.models import MODELS  # noqa: E402
from train.config.presets import PRESETS, from_values  # noqa: E402
from train.flags import SHARED  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "flags.md"


def _value(value):
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "" if value in ("", None) else f"`{value}`"


def _cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def page() -> str:
    """The text of the page."""
    lines = [
        "# Flags",
        "",
        "This page is generated from the code by `python docs/generate_flags.py`. Every command",
        "also prints its flags with `--help`.",
        "",
        "## Training",
        "",
        "Flags of `train.main`. A resumed run may change only the flags marked with *.",
        "",
        "| flag | default | meaning | allowed |",
        "|---|---|---|---|",
    ]
    for field in dataclasses.fields(Config):
        mark = " *" if field.metadata["may_change"] else ""
        help, allowed = field.metadata["help"], field.metadata["allowed"].text
        cells = [f"`--{field.name}`{mark}", _value(field.default), _cell(help), _cell(allowed)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Presets", "", "The values that `--config` sets for each `--model`.", ""]
    for model in MODELS:
        configs = {name: from_values({"config": name, "model": model}) for name in PRESETS}
        names = [
            field.name
            for field in dataclasses.fields(Config)
            if field.name not in ("config", "model", "workdir")
            and (
                field.name in MODELS[model].sizes["tiny"]
                or any(field.name in preset.changes for preset in PRESETS.values())
            )
            and (field.name != "dropout_p" or model == Config.model)
        ]
        lines += [f"### {model}", "", "| flag | " + " | ".join(PRESETS) + " |"]
        lines.append("|---|" + "---|" * len(PRESETS))
        for name in names:
            values = " | ".join(_value(getattr(config, name)) for config in configs.values())
            lines.append(f"| `--{name}` | {values} |")
        lines.append("")
    lines += [
        "## Flags of several commands",
        "",
        "| flag | default | meaning |",
        "|---|---|---|",
    ]
    for name, (_, default, help, *rest) in SHARED.items():
        values = f" ({', '.join(filter(None, rest[0]))})" if rest and type(rest[0]) is tuple else ""
        lines.append(f"| `--{name}` | {_value(default)} | {_cell(help)}{values} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
