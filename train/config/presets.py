"""`--config`: named sets of flags, with what they cost and the score to expect."""

import dataclasses
import os

from train.config.config import Config, check
from train.config.models import MODEL_FIELDS, MODELS
from train.errors import ArgumentError, UserError


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named set of flags, and what it costs; sizes of the models are in `config/models.py`."""

    changes: dict
    about: str


PRESETS = {
    "tiny": Preset(
        dict(
            dropout_p=0.3,
            learning_rate=0.003,
            lr_decay=0.9995,
            batch_size=32,
            init_batch_size=100,
            polyak_decay=0.995,
            max_epochs=20,
        ),
        "1 resnet, 24 filters, 5 components, 0.3 M weights; on 2 CPU cores 8x8 digits take "
        "0.1 s a step, MNIST 0.3 s; expect 1.77 bits/dim on digits after 920 steps, 1.10 on MNIST "
        "after 3,000.",
    ),
    "small": Preset(
        dict(
            dropout_p=0.1,
            learning_rate=0.002,
            init_batch_size=100,
            polyak_decay=0.995,
        ),
        "2 resnets, 32 filters, 5 components, 1.0 M weights; on 2 CPU cores CIFAR-10 takes 0.45 "
        "s a step; expect 3.84 bits/dim on CIFAR-10 after 2,000 steps.",
    ),
    "paper": Preset(
        {},
        "5 resnets, 160 filters, 10 components, 53.7 M weights; not run here: the official "
        "code takes 9.3 s a step and 7.7 GB on 2 CPU cores, in the paper 5 days on 8 GPUs; "
        "the paper reports 2.92 bits/dim on CIFAR-10, with 192 filters.",
    ),
}


def from_values(values: dict) -> Config:
    """Builds a `Config` of the flags given by hand (a dict), over those of its preset.

    Raises:
      UserError: for an unknown preset or a value out of range.
    """
    name = values.get("config", Config.config)
    if name not in PRESETS:
        raise ArgumentError("config", name, f"must be one of {', '.join(PRESETS)}")
    model = values.get("model", Config.model)
    if model not in MODELS:
        raise ArgumentError("model", model, f"must be one of {', '.join(MODELS)}")
    _refuse_foreign_fields(model, values)
    defaults = PRESETS[name].changes | MODELS[model].sizes[name]
    if values.get("max_steps"):  # an explicit limit wins over that of the preset
        defaults = defaults | {"max_epochs": 0}
    config = Config(**(defaults | values))
    run = config.vq_vae_workdir
    if run is not None and "input_embedding" in MODELS[model].fields():
        config = config.replace(input_embedding=values.get("input_embedding", True))
    if not config.workdir:
        plain = config.dataset if run is None else f"codes-{os.path.basename(run.rstrip('/'))}"
        plain = plain.replace("folder:", "").strip("/").replace("/", "-")
        parts = [plain] if model == Config.model else [plain, model]
        parts += ["class_conditional"] if config.class_conditional else []
        parts += [_condition_in_name(config.condition)] if config.condition else []
        parts.append(name)
        config = config.replace(workdir=os.path.join("runs", "-".join(parts)))
    check(config)
    return config


def command_of(config: Config) -> list[str]:
    """The arguments with which `python -m train.main` gives this configuration: what differs from
    its preset, `--config` and `--model` if they are not the defaults, and the data set."""
    chosen = {"config": config.config, "model": config.model, "dataset": config.dataset}
    limit = {"max_steps": config.max_steps} if config.max_steps else {}
    preset = from_values(chosen | limit)
    shown = {name: value for name, value in chosen.items() if value != getattr(Config, name)}
    shown |= {"dataset": config.dataset} | limit
    shown |= {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(Config)
        if getattr(config, field.name) != getattr(preset, field.name)
    }
    names = [field.name for field in dataclasses.fields(Config) if field.name in shown]
    return [f"--{name}={_flag_text(shown[name])}" for name in names]


def _condition_in_name(condition):
    """A `--condition` in the name of a run's folder: grey, small4, embedding_<name of file>."""
    kind, _, value = condition.partition(":")
    if kind == "embedding":
        return f"embedding_{os.path.splitext(os.path.basename(value))[0]}"
    return kind + value


def _flag_text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refuse_foreign_fields(model, values):
    """Raises UserError if `values`, given by hand, set a field that the model does not have."""
    fields = MODELS[model].fields()
    for field in MODEL_FIELDS:
        if values.get(field, False) is not False and field not in fields:
            raise UserError(
                f"--{field}={values[field]}: --model={model} has none; of the model's flags it "
                f"takes {', '.join(sorted(fields))}"
            )
