"""Every flag of the commands, defined once.

`define` gives a command flags that several commands share, `define_config` one flag for each field
of `Config`.
"""

import dataclasses
import sys
from collections.abc import Collection

from absl import flags

from train.config.config import ALPHA, OLD_NAMES, Config, with_present_names
from train.config.models import MODELS
from train.config.presets import PRESETS, from_values

ALL = tuple(field.name for field in dataclasses.fields(Config))
_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}

# name -> type, default, help, bounds or values. A tuple of values makes an enum.
SHARED = {
    # the run
    "workdir": (str, "", "the run: its folder, or pretrained:NAME"),
    "averaged": (bool, True, "use the averaged weights, not the raw ones"),
    # data
    "data_dir": (str, "", "where tfds data sets are; default: as in training"),
    "dataset": (str, "", "another data set of the same kind; its images may have another size"),
    "split": (
        str,
        "",
        "what to score: test, validation, train, or a part such as train[:10%]; default: as in "
        "training (--eval_split)",
    ),
    "images": (
        str,
        "",
        "a folder (with all below it), an image file, an .npz with images, x_test or x_train, or "
        "a split of a data set such as mnist:test",
    ),
    "num_images": (int, 0, "take only the first images; 0: all", dict(lower_bound=0)),
    "alpha": (
        str,
        "",
        "transparent images: drop (the transparency), white or black (background); default: they "
        "are an error",
        ALPHA,
    ),
    "label": (int, None, "class of all images (class-conditional models)"),
    # sampling
    "num_samples": (int, 16, "number of samples", dict(lower_bound=0)),
    "seed": (int, 1, "random seed", dict(lower_bound=0, upper_bound=2**64 - 1)),
    "temperature": (float, 1.0, "below 1: less varied samples than the model's"),
    "height": (int, 0, "height of the images; 0: as trained", dict(lower_bound=0)),
    "width": (int, 0, "width of the images; 0: as trained", dict(lower_bound=0)),
    # computation
    "batch_size": (int, 0, "images computed at a time; 0: as in training", dict(lower_bound=0)),
    "strategy": (str, "auto", "as in training", ("auto", "one_device", "mirrored")),
    "nr_gpu": (int, 0, "GPUs to use; 0: all", dict(lower_bound=0)),
    # output
    "output": (str, "", "what to write"),
}


def define(*names: str, **helps: str) -> None:
    """Defines shared flags.

    Args:
      *names: of `SHARED`.
      **helps: name -> help, for flags whose meaning differs between commands.
    """
    for name in (*names, *helps):
        kind, default, text, *rest = SHARED[name]
        text = helps.get(name, text)
        if rest and isinstance(rest[0], tuple):
            flags.DEFINE_enum(name, default, rest[0], text)
        else:
            _DEFINE[kind](name, default, text, **(rest[0] if rest else {}))


def define_config(names: Collection[str] = ALL) -> None:
    """Defines the flags of some fields of `Config`, and their names of version 0.2 as aliases.
    `--help` lists the presets and models."""
    for field in dataclasses.fields(Config):
        if field.name not in names:
            continue
        text = field.metadata["help"]
        if field.name == "config":
            text += ". " + " ".join(f"{name}: {preset.about}" for name, preset in PRESETS.items())
        if field.name == "model":
            text += ". " + " ".join(f"{name}: {entry.about}." for name, entry in MODELS.items())
        _DEFINE[field.type](field.name, field.default, text)
    for old, (new, _) in OLD_NAMES.items():
        if new in names:
            flags.DEFINE_alias(old, new)


def to_config(names: Collection[str] = ALL) -> Config:
    """The `Config` of the parsed flags of these fields. Raises ArgumentError for a value out of
    range."""
    given = {name: flags.FLAGS[name].value for name in names if flags.FLAGS[name].present}
    for old, (new, _) in OLD_NAMES.items():
        if new in given and flags.FLAGS[old].present:
            print(f"warning: --{old} is deprecated, use --{new}", file=sys.stderr, flush=True)
            given |= with_present_names({old: given[new]})
    return from_values(given)
