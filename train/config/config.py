"""The configuration of a run: all that is needed to rebuild the model and continue.

A field stands here once, with its default, its help, what is allowed and whether it may change
when a run is continued; the flag of the same name is made from that.
"""

import dataclasses
import os
import re
from collections.abc import Callable
from typing import NamedTuple

from train.config.models import MODELS
from train.errors import ArgumentError

ALPHA = ("", "drop", "white", "black")  # values of --alpha; "": transparent images are rejected
CODES = "codes:"  # --dataset=codes:<workdir of a VQ-VAE>
EMBEDDING = "embedding:"  # --condition=embedding:<file of a Keras model>
KERAS_FILES = (".keras", ".h5")
MAX_SIDE = 8192  # pixels of --resize and --crop


class Constraint(NamedTuple):
    """What values a field takes: in words, and as a test."""

    text: str
    holds: Callable[[object], bool]


def parse_size(text: str) -> tuple[int, int] | None:
    """`(height, width)` of "HxW"; None of "". Raises ValueError for any other text."""
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    size = tuple(int(number) for number in match.groups()) if match else (0, 0)
    if not all(1 <= number <= MAX_SIDE for number in size):
        raise ValueError(f"{text!r}: must be HxW such as 32x48, each from 1 to {MAX_SIDE}")
    return size


def _is_size(text):
    try:
        parse_size(text)
    except ValueError:
        return False
    return True


def _is_embedding(condition):
    return condition.startswith(EMBEDDING) and condition.endswith(KERAS_FILES)


def at_least(least: int) -> Constraint:
    return Constraint(f"at least {least}", lambda value: value >= least)


def one_of(*names) -> Constraint:
    shown = ", ".join(name or "nothing" for name in names)
    return Constraint(f"one of {shown}", lambda value: value in names)


ANY = Constraint("", lambda value: True)
SHARE = Constraint("at least 0 and below 1", lambda value: 0 <= value < 1)
NOT_NEGATIVE = Constraint("a number of at least 0", lambda value: 0 <= value < float("inf"))
FACTOR = Constraint("above 0 and at most 1", lambda value: 0 < value <= 1)
SEED = Constraint("from 0 to 2147483647", lambda value: 0 <= value < 2**31)
MAP_NAMES = re.compile("(grey|small:([2-9]|[1-5][0-9]|6[0-4]))?")
CONDITION = Constraint(
    "grey, small:N with N from 2 to 64, or embedding:<file of a Keras model, .keras or .h5>",
    lambda value: bool(MAP_NAMES.fullmatch(value)) or _is_embedding(value),
)
NUM_CODES = Constraint("from 2 to 65536", lambda value: 2 <= value <= 65536)
LEVELS = Constraint("0, or 2 to 65536", lambda value: value == 0 or 2 <= value <= 65536)
PROBABILITY = Constraint("from 0 to 1", lambda value: 0 <= value <= 1)
SIZE = Constraint(f"HxW such as 32x48, each from 1 to {MAX_SIDE}", _is_size)


def field(
    default: object, help: str, allowed: Constraint = ANY, may_change: bool = False
) -> dataclasses.Field:
    """A field of `Config`.

    Args:
      default: its default; those of the official flags are those of the official `train.py`.
      help: of the flag.
      allowed: the values that it takes.
      may_change: a resumed run may have another value: it decides where and how long the run is,
        not what it computes.
    """
    metadata = {"help": help, "allowed": allowed, "may_change": may_change}
    return dataclasses.field(default=default, metadata=metadata)


# Fields of version 0.2 that were renamed: old name -> (present name, {old value: present value}).
OLD_NAMES = {
    "nr_output_filters": ("num_head_filters", {}),
    "nr_embeddings": ("num_embeddings", {}),
    "commitment": ("commitment_cost", {}),
    "codebook": ("codebook_update", {"loss": "gradient"}),
    "restart_codes": ("reset_unused_after", {}),
}


def with_present_names(values: dict) -> dict:
    """The values of fields, with the names of version 0.2 replaced by the present ones."""
    found = dict(values)
    for old, (new, renamed) in OLD_NAMES.items():
        if old in found:
            value = found.pop(old)
            found[new] = renamed.get(value, value) if isinstance(value, str) else value
    return found


@dataclasses.dataclass(frozen=True)
class Config:
    """One field a flag."""

    # data
    dataset: str = field(
        "digits",
        "digits (built in), a tfds name such as cifar10, folder:/path, a .npz file, or "
        "codes:<workdir of a vq_vae run>",
    )
    data_dir: str = field(
        "", "where tfds data sets are or go; default: tfds' own folder", may_change=True
    )
    workdir: str = field(
        "",
        "folder of this run; default: runs/<dataset>-<config>, with --model and --condition (or "
        "class_conditional) between: runs/<dataset>-<model>-<condition>-<config>",
        may_change=True,
    )
    config: str = field(
        "paper",
        "preset; explicit flags override it (sizes shown are for pixelcnn_pp)",
        may_change=True,
    )
    num_levels: int = field(
        0,
        "levels per channel that the data have: every value is below it; 2 to 65536; 0: as the "
        "files say",
        LEVELS,
    )
    quantize: int = field(
        0, "reduce the data to this many levels per channel, 2 to 65536; 0: no change", LEVELS
    )
    binarize: str = field(
        "",
        "dynamic: each time an image is seen, its pixels are drawn anew as 0 or 1, with its "
        "intensities as probabilities; one fixed draw for evaluation",
        one_of("", "dynamic"),
    )
    train_split: str = field(
        "", "what to train on, such as train[:90%] or train+validation; default: train"
    )
    eval_split: str = field(
        "", "what to score, such as validation or train[90%:]; default: the test split"
    )
    resize: str = field(
        "", "HxW: resize every image to it (antialiased); scores then refer to those", SIZE
    )
    crop: str = field(
        "", "HxW: train on random crops of this size, score crops of the centre", SIZE
    )
    random_flip: bool = field(False, "in training, mirror half of the images left to right")
    mutation_rate: float = field(
        0.0,
        "in training, replace each value with this probability by a random level (for background "
        "models, Ren et al. 2019)",
        PROBABILITY,
    )
    alpha: str = field(
        "",
        "transparent images of a folder: drop (the transparency), white or black (ground); "
        "default: they are refused",
        one_of(*ALPHA),
    )
    skip_broken: bool = field(
        False, "leave out the files of a folder that cannot be read", may_change=True
    )
    # model
    model: str = field("pixelcnn_pp", "which model", one_of(*MODELS))
    nr_resnet: int = field(5, "residual blocks per stage of the model", at_least(1))
    nr_filters: int = field(160, "filters across the model", at_least(1))
    num_stages: int = field(
        3, "resolutions of the PixelCNN++ U-Net: full, half, quarter, ...", at_least(1)
    )
    nr_logistic_mix: int = field(10, "logistic components in the mixture", at_least(1))
    num_head_filters: int = field(
        1024, "maps of the two 1x1 layers before the softmax", at_least(1)
    )
    resnet_nonlinearity: str = field(
        "concat_elu", "concat_elu, elu or relu", one_of("concat_elu", "elu", "relu")
    )
    class_conditional: bool = field(False, "condition the model on the labels")
    condition: str = field(
        "",
        "condition the model on what is made of the image: grey (luminance: colourisation), "
        "small:4 (the image reduced 4 times: super-resolution; 2 to 64), or embedding:<file> (the "
        "vector that a Keras model gives of it, see train.embedding)",
        CONDITION,
    )
    energy_distance: bool = field(False, "train with the energy distance instead of the likelihood")
    input_embedding: bool = field(
        False,
        "the levels are codes: the network gets an embedding of each; on by default for "
        "--dataset=codes:...",
    )
    num_embeddings: int = field(512, "codes of the codebook, 2 to 65536", NUM_CODES)
    embedding_dim: int = field(64, "length of the vector of a code", at_least(1))
    commitment_cost: float = field(0.25, "beta, weight of the commitment loss", NOT_NEGATIVE)
    codebook_update: str = field(
        "gradient",
        "how the codebook is trained: gradient (as in the paper) or ema (moving averages)",
        one_of("gradient", "ema"),
    )
    ema_decay: float = field(0.99, "gamma of the codebook's moving averages", SHARE)
    reset_unused_after: int = field(
        0,
        "re-initialise codes unused for this many steps from the current batch; 0: never",
        at_least(0),
    )
    # optimisation
    init_from: str = field(
        "",
        "begin with the averaged weights of this run (its workdir, or pretrained:NAME), a model of "
        "the same kind and size, in place of the initialisation on data",
    )
    optimizer: str = field(
        "adam",
        "adam (the official Adam), or muon (Muon for the kernels of hidden layers, the official "
        "Adam for all other weights)",
        one_of("adam", "muon"),
    )
    muon_learning_rate: float = field(
        0.01, "base learning rate of --optimizer=muon for the kernels of hidden layers", FACTOR
    )
    learning_rate: float = field(0.001, "base learning rate", FACTOR)
    lr_decay: float = field(0.999995, "learning rate decay, applied every step", FACTOR)
    # batch_size may change only as far as the global batch stays the same.
    batch_size: int = field(16, "batch size per replica (GPU)", at_least(1), may_change=True)
    init_batch_size: int = field(16, "images for the data-dependent initialisation", at_least(1))
    dropout_p: float = field(0.5, "dropout rate; 0: no dropout", SHARE)
    polyak_decay: float = field(0.9995, "decay of the moving average of the weights", SHARE)
    polyak_warmup: bool = field(
        True,
        "smaller decay in the first steps: min(polyak_decay, (1 + step) / (10 + step)); false: the "
        "official constant decay",
    )
    max_epochs: int = field(
        5000,
        "epochs to run; 0: no limit but max_steps. A preset's value does not apply if --max_steps "
        "is given",
        at_least(0),
        may_change=True,
    )
    max_steps: int = field(
        0, "steps to run; 0: no limit but max_epochs", at_least(0), may_change=True
    )
    seed: int = field(1, "random seed", SEED)
    # output
    num_samples: int = field(16, "samples in each grid; 0: none", at_least(0), may_change=True)
    save_interval: int = field(
        20,
        "every how many epochs to write samples and a checkpoint; 0: only at the end",
        at_least(0),
        may_change=True,
    )
    eval_interval: int = field(
        1,
        "every how many epochs to score the test split (--eval_split); 0: only at the end",
        at_least(0),
        may_change=True,
    )
    checkpoint_interval: int = field(
        1000,
        "every how many steps to write a checkpoint in between; 0: never",
        at_least(0),
        may_change=True,
    )
    log_interval: int = field(
        50, "every how many steps to write the training numbers", at_least(1), may_change=True
    )
    # where and how
    strategy: str = field(
        "auto",
        "one_device, mirrored (all GPUs of this machine), multi_worker (the machines in "
        "TF_CONFIG), or auto",
        one_of("auto", "one_device", "mirrored", "multi_worker"),
        may_change=True,
    )
    nr_gpu: int = field(0, "GPUs to use of each machine; 0: all", at_least(0), may_change=True)
    dtype: str = field(
        "float32",
        "of the network: float32, mixed_bfloat16 or mixed_float16; weights, averages and "
        "likelihood are in float32 always",
        one_of("float32", "mixed_bfloat16", "mixed_float16"),
    )
    remat: bool = field(
        False,
        "compute the inside of each gated block again in the backward pass: less memory, more time",
        may_change=True,
    )
    # May not change: XLA adds in another order, so a resumed run would not be the same to the bit.
    jit_compile: bool = field(False, "compile the whole step with XLA (one replica only)")
    steps_per_loop: int = field(
        1,
        "steps in one call of the compiled function, where nothing is due between",
        at_least(1),
        may_change=True,
    )
    on_nan: str = field(
        "stop",
        "after a loss that is not finite: stop, or restore the last checkpoint and go on "
        "with another order of the data, at most 3 times",
        one_of("stop", "restore"),
        may_change=True,
    )

    def replace(self, **changes) -> "Config":
        return dataclasses.replace(self, **changes)

    @property
    def vq_vae_workdir(self) -> str | None:
        """The run of the VQ-VAE whose codes are the data set (`--dataset=codes:...`), or None."""
        return self.dataset.removeprefix(CODES) if self.dataset.startswith(CODES) else None

    @property
    def embedding_file(self) -> str | None:
        """The Keras model of `--condition=embedding:...`, or None."""
        if not self.condition.startswith(EMBEDDING):
            return None
        return os.path.expanduser(self.condition.removeprefix(EMBEDDING))


def _is_a(value, kind):
    """Whether a value, perhaps from a file, is of a field's type."""
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def check(config: Config) -> None:
    """Raises ArgumentError for a value out of range, or for values that exclude each other."""
    for each in dataclasses.fields(Config):
        value, allowed = getattr(config, each.name), each.metadata["allowed"]
        if not _is_a(value, each.type):
            raise ArgumentError(each.name, repr(value), f"must be of type {each.type.__name__}")
        if not allowed.holds(value):
            raise ArgumentError(each.name, value, f"must be {allowed.text}")

    def reject(names, why):
        for name in names:
            if getattr(config, name):
                raise ArgumentError(name, getattr(config, name), why)

    if config.vq_vae_workdir is not None:
        reject(
            ("num_levels", "quantize", "resize", "binarize", "random_flip"),
            f"--dataset={config.dataset} gives codes, not intensities; set it for the run of the "
            "VQ-VAE",
        )
    if config.input_embedding:
        reject(
            ("num_levels", "quantize", "resize", "binarize"),
            "with --input_embedding the levels are codes, which have no order; leave it out",
        )
    if config.condition:
        condition = f"--condition={config.condition}"
        reject(("class_conditional", "energy_distance"), f"excludes {condition}; use only one")
        if config.input_embedding or config.vq_vae_workdir is not None:
            why = "is computed from intensities, but the data are codes; leave it out"
            raise ArgumentError("condition", config.condition, why)
    if not config.max_epochs and not config.max_steps:
        raise ArgumentError("max_epochs", 0, "needs --max_steps: a run must have a limit")
    if config.binarize:
        reject(("quantize",), f"--binarize={config.binarize} gives 2 levels; use only one")
    if config.optimizer == "muon" and config.model == "vq_vae":
        text = "--model=vq_vae has no kernels of hidden layers that it supports; use adam"
        raise ArgumentError("optimizer", config.optimizer, text)
    if config.strategy == "one_device" and config.nr_gpu > 1:
        raise ArgumentError("nr_gpu", config.nr_gpu, "--strategy=one_device uses one device")
