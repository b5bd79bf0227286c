"""absl flags, one for each field of `Config`."""

import dataclasses
from collections.abc import Collection

from absl import flags

from train.config.config import Config
from train.config.models import MODELS
from train.config.presets import PRESETS, from_values

_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}

ALL = tuple(field.name for field in dataclasses.fields(Config))


def define(names: Collection[str] = ALL) -> None:
    """Defines the flags of some fields. The presets, with size, cost and expected score, are in
    `--help`."""
    for field in dataclasses.fields(Config):
        if field.name not in names:
            continue
        text = field.metadata["help"]
        if field.name == "config":
            text += ". " + " ".join(f"{name}: {preset.about}" for name, preset in PRESETS.items())
        if field.name == "model":
            text += ". " + " ".join(f"{name}: {entry.about}." for name, entry in MODELS.items())
        _DEFINE[field.type](field.name, field.default, text)


def to_config(names: Collection[str] = ALL) -> Config:
    """The `Config` of the parsed flags of these fields. Raises UserError for a value out of
    range."""
    given = {name: flags.FLAGS[name].value for name in names if flags.FLAGS[name].present}
    return from_values(given)
