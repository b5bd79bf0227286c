"""The configuration of a run: all that is needed to rebuild the model and continue."""

import dataclasses
import json
import os
from typing import NamedTuple

from train.config.models import CONDITIONAL, MODEL_FIELDS, MODELS, REMAT
from train.errors import UserError, writing


@dataclasses.dataclass(frozen=True)
class Config:
    """One field a flag (`train/config/flags.py`). Defaults are those of the official `train.py`."""

    # data
    dataset: str = "digits"
    data_dir: str = ""
    workdir: str = ""
    config: str = "paper"
    num_levels: int = 0
    # model
    model: str = "pixelcnn_pp"
    nr_resnet: int = 5
    nr_filters: int = 160
    nr_logistic_mix: int = 10
    nr_output_filters: int = 1024
    resnet_nonlinearity: str = "concat_elu"
    class_conditional: bool = False
    energy_distance: bool = False
    input_embedding: bool = False
    # optimisation
    learning_rate: float = 0.001
    lr_decay: float = 0.999995
    batch_size: int = 16
    init_batch_size: int = 16
    dropout_p: float = 0.5
    polyak_decay: float = 0.9995
    max_epochs: int = 5000
    max_steps: int = 0
    seed: int = 1
    # output
    num_samples: int = 16
    save_interval: int = 20
    eval_interval: int = 1
    checkpoint_interval: int = 1000
    log_interval: int = 50
    # where and how
    strategy: str = "auto"
    nr_gpu: int = 0
    dtype: str = "float32"
    remat: bool = False
    jit_compile: bool = False
    steps_per_loop: int = 1
    on_nan: str = "stop"

    def replace(self, **changes):
        return dataclasses.replace(self, **changes)


HELP = {
    "dataset": "digits (built in), a tfds name such as cifar10, folder:/path, or a .npz file",
    "data_dir": "where tfds data sets are or go; default: tfds' own folder",
    "workdir": "folder of this run; default: runs/<dataset>-<config>, or "
    "runs/<dataset>-<model>-<config>",
    "config": "preset; a flag given by hand wins over it; told here for pixelcnn_pp",
    "num_levels": "quantise the data to so many levels per channel, 2 to 256; 0: as they are",
    "model": "which model",
    "nr_resnet": "residual blocks per stage of the model",
    "nr_filters": "filters across the model",
    "nr_logistic_mix": "logistic components in the mixture",
    "nr_output_filters": "maps of the two 1x1 layers before the softmax",
    "resnet_nonlinearity": "concat_elu, elu or relu",
    "class_conditional": "condition the model on the labels",
    "energy_distance": "train with the energy distance instead of the likelihood",
    "input_embedding": "the levels are codes: the network gets an embedding of each",
    "learning_rate": "base learning rate",
    "lr_decay": "learning rate decay, applied every step",
    "batch_size": "batch size per replica (GPU)",
    "init_batch_size": "images for the data-dependent initialisation",
    "dropout_p": "dropout strength, 0 is none",
    "polyak_decay": "decay of the moving average of the parameters",
    "max_epochs": "epochs to run",
    "max_steps": "steps to run; 0: no limit but max_epochs",
    "seed": "random seed",
    "num_samples": "samples in each grid; 0: none",
    "save_interval": "every how many epochs to write samples and a checkpoint; 0: only at the end",
    "eval_interval": "every how many epochs to evaluate on the test set; 0: only at the end",
    "checkpoint_interval": "every how many steps to write a checkpoint in between; 0: never",
    "log_interval": "every how many steps to write the training numbers",
    "strategy": "one_device, mirrored (all GPUs of this machine), multi_worker (the machines in "
    "TF_CONFIG), or auto",
    "nr_gpu": "GPUs to use of each machine; 0: all",
    "dtype": "of the network: float32, mixed_bfloat16 or mixed_float16; parameters, averages and "
    "likelihood are in float32 always",
    "remat": "compute the inside of each gated block again in the backward pass: less memory, "
    "more time",
    "jit_compile": "compile the step's computation with XLA (one replica only)",
    "steps_per_loop": "steps in one call of the compiled function, where nothing is due between",
    "on_nan": "after a loss that is not finite: stop, or restore the last checkpoint and go on "
    "with another order of the data, at most 3 times",
}

CHOICES = {
    "resnet_nonlinearity": ("concat_elu", "elu", "relu"),
    "strategy": ("auto", "one_device", "mirrored", "multi_worker"),
    "dtype": ("float32", "mixed_bfloat16", "mixed_float16"),
    "on_nan": ("stop", "restore"),
}

# What may differ when a run is continued: where it is and how long, not what it computes.
MAY_CHANGE = {
    "data_dir",
    "workdir",
    "config",
    "max_epochs",
    "max_steps",
    "num_samples",
    "save_interval",
    "eval_interval",
    "checkpoint_interval",
    "log_interval",
    # Nor on what it is computed; batch_size only as far as the global batch stays the same. (Not
    # jit_compile: XLA draws other random numbers, and so other dropout masks, from a seed.)
    "batch_size",
    "strategy",
    "nr_gpu",
    "remat",
    "steps_per_loop",
    "on_nan",
}


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
        "1 resnet, 24 filters, 5 components, 0.3 M parameters; on 2 CPU cores 8x8 digits take "
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
        "2 resnets, 32 filters, 5 components, 1.0 M parameters; on 2 CPU cores CIFAR-10 takes 0.45 "
        "s a step; expect 3.84 bits/dim on CIFAR-10 after 2,000 steps.",
    ),
    "paper": Preset(
        {},
        "5 resnets, 160 filters, 10 components, 53.7 M parameters; not run here: the official "
        "code takes 9.3 s a step and 7.7 GB on 2 CPU cores, in the paper 5 days on 8 GPUs; "
        "expect 2.92 bits/dim on CIFAR-10.",
    ),
}


def from_values(values):
    """Builds a `Config` of the flags given by hand (a dict), over those of its preset.

    Raises:
      UserError: for an unknown preset or a value out of range.
    """
    name = values.get("config", Config.config)
    if name not in PRESETS:
        raise UserError(f"--config={name}: must be one of {', '.join(PRESETS)}")
    model = values.get("model", Config.model)
    if model not in MODELS:
        raise UserError(f"--model={model}: must be one of {', '.join(MODELS)}")
    _refuse_foreign_fields(model, values)
    config = Config(**(PRESETS[name].changes | MODELS[model].sizes[name] | values))
    if not config.workdir:
        plain = config.dataset.replace("folder:", "").strip("/").replace("/", "-")
        parts = [plain, name] if model == Config.model else [plain, model, name]
        config = config.replace(workdir=os.path.join("runs", "-".join(parts)))
    check(config)
    return config


def _refuse_foreign_fields(model, values):
    """Raises UserError if `values`, given by hand, set a field that the model does not have."""
    fields = MODELS[model].fields()
    for field in (*MODEL_FIELDS, CONDITIONAL, REMAT):
        if values.get(field, False) is not False and field not in fields:
            raise UserError(
                f"--{field}={values[field]}: --model={model} has none; of the model's flags it "
                f"takes {', '.join(sorted(fields))}"
            )


def check(config):
    """Raises UserError, naming flag, value and what is allowed, for a value out of range."""

    def require(field, allowed, ok):
        if not ok:
            raise UserError(f"--{field}={getattr(config, field)}: must be {allowed}")

    for field in ("nr_resnet", "nr_filters", "nr_logistic_mix", "batch_size", "init_batch_size"):
        require(field, "at least 1", getattr(config, field) >= 1)
    require("nr_output_filters", "at least 1", config.nr_output_filters >= 1)
    require("num_levels", "0, or 2 to 256", config.num_levels == 0 or 2 <= config.num_levels <= 256)
    if config.num_levels and config.input_embedding:
        raise UserError(
            f"--num_levels={config.num_levels}: with --input_embedding the levels are codes, "
            "which have no order and cannot be quantised; leave it out"
        )
    for field in ("max_epochs", "log_interval"):
        require(field, "at least 1", getattr(config, field) >= 1)
    for field in ("max_steps", "num_samples", "save_interval", "eval_interval"):
        require(field, "at least 0", getattr(config, field) >= 0)
    require("checkpoint_interval", "at least 0", config.checkpoint_interval >= 0)
    require("learning_rate", "above 0 and at most 1", 0 < config.learning_rate <= 1)
    require("lr_decay", "above 0 and at most 1", 0 < config.lr_decay <= 1)
    require("dropout_p", "at least 0 and below 1", 0 <= config.dropout_p < 1)
    require("polyak_decay", "at least 0 and below 1", 0 <= config.polyak_decay < 1)
    require("seed", "from 0 to 2147483647", 0 <= config.seed < 2**31)
    require("nr_gpu", "at least 0", config.nr_gpu >= 0)
    require("steps_per_loop", "at least 1", config.steps_per_loop >= 1)
    for field, names in CHOICES.items():
        require(field, f"one of {', '.join(names)}", getattr(config, field) in names)
    if config.strategy == "one_device" and config.nr_gpu > 1:
        raise UserError(f"--nr_gpu={config.nr_gpu}: --strategy=one_device uses one device")


def path_in(workdir):
    return os.path.join(workdir, "config.json")


class DataDescription(NamedTuple):
    """What a model must know of its data; `train.data.dataset.Dataset` has the same attributes."""

    image_shape: tuple
    num_levels: int
    num_classes: int | None


def save(config, dataset, global_batch_size=None):
    """Writes `config.json` in the run's folder, whole or not at all: the fields of the
    configuration, as `data` those of `DataDescription`, and the batch size of all replicas
    together (default: of one replica)."""
    data = {field: getattr(dataset, field) for field in DataDescription._fields}
    path = path_in(config.workdir)
    fields = dataclasses.asdict(config) | {
        "data": data,
        "global_batch_size": global_batch_size or config.batch_size,
    }
    with writing(path):
        with open(path + ".tmp", "w") as file:
            json.dump(fields, file, indent=2)
            file.write("\n")
        os.replace(path + ".tmp", path)


def load(workdir):
    """Reads the `config.json` of a run.

    Returns:
      `(Config, DataDescription)`.

    Raises:
      UserError: if there is none, or it is not one of ours.
    """
    try:
        with open(path_in(workdir)) as file:
            fields = json.load(file)
        fields.pop("global_batch_size", None)
        data = fields.pop("data")
        data["image_shape"] = tuple(data["image_shape"])
        return Config(**fields).replace(workdir=workdir), DataDescription(**data)
    except FileNotFoundError:
        raise UserError(f"--workdir={workdir}: no run here (config.json is missing)") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path_in(workdir)}: not a configuration ({error})") from None


def refuse_another(config):
    """Raises UserError, naming the fields, if the workdir holds a run that computes otherwise."""
    if not os.path.exists(path_in(config.workdir)):
        return
    saved, _ = load(config.workdir)
    differing = [
        f"{field.name} (there {getattr(saved, field.name)!r}, here {getattr(config, field.name)!r})"
        for field in dataclasses.fields(Config)
        if field.name not in MAY_CHANGE
        and getattr(saved, field.name) != getattr(config, field.name)
    ]
    if differing:
        raise UserError(
            f"--workdir={config.workdir} holds a run with another configuration: "
            f"{', '.join(differing)}; use another --workdir or the same flags"
        )


def refuse_another_batch(config, num_replicas):
    """Raises UserError if the run in the workdir has another global batch: another order of the
    data, and another scale of the loss, which is a sum over the batch."""
    if not os.path.exists(path_in(config.workdir)):
        return
    saved, _ = load(config.workdir)
    with open(path_in(config.workdir)) as file:
        there = json.load(file).get("global_batch_size", saved.batch_size)
    here = config.batch_size * num_replicas
    if here == there:
        return
    if there % num_replicas:
        advice = f"use a number of replicas that divides {there}"
    else:
        advice = f"use --batch_size={there // num_replicas}"
    raise UserError(
        f"--batch_size={config.batch_size} on {num_replicas} replica(s) is a global batch of "
        f"{here}, but --workdir={config.workdir} holds a run with one of {there}; {advice}, or "
        "another --workdir"
    )


def refuse_other_data(config, dataset):
    """Raises UserError if the run in the workdir has data of another kind."""
    if not os.path.exists(path_in(config.workdir)):
        return
    _, saved = load(config.workdir)
    for field, value in saved._asdict().items():
        if field == "num_classes" and not config.class_conditional:
            continue  # an unconditional model knows nothing of them
        if value != getattr(dataset, field):
            raise UserError(
                f"--workdir={config.workdir} holds a run on data with {field} {value}, but "
                f"--dataset={config.dataset} now has {getattr(dataset, field)}"
            )
