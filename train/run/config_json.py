"""`config.json` in a run's folder: the configuration and the data that the run was started with."""

import dataclasses
import importlib.metadata
import json
import os
import platform
from typing import TYPE_CHECKING, NamedTuple

from train.config.config import Config, check, with_present_names
from train.data.description import DataDescription
from train.errors import ArgumentError, UserError, writing
from train.files import write_json

if TYPE_CHECKING:
    from train.data.dataset import Dataset

NAME = "config.json"
FORMAT_VERSION = 2  # 1, or none: written by version 0.2 of this package
PACKAGES = ("pixelcnn_tf", "tensorflow", "keras", "numpy")  # they decide what a run computes


class DatasetFingerprint(NamedTuple):
    """By what a data set that has changed since the training is recognised.

    Attributes:
      num_train, num_scored: images of the two splits.
      parts_by_hash: parts of a folder's splits are counted in the order of the hashes of names.
    """

    num_train: int
    num_scored: int
    parts_by_hash: bool = False

    @classmethod
    def of(cls, dataset: "Dataset") -> "DatasetFingerprint":
        return cls(dataset.train.num_examples, dataset.eval.num_examples, dataset.parts_by_hash)

    def __str__(self):
        order = ", parts in the order of the names' hashes" if self.parts_by_hash else ""
        return f"{self.num_train:,} training images and {self.num_scored:,} to score{order}"


class RunConfig(NamedTuple):
    """The contents of `config.json`.

    Attributes:
      config: the run's `Config`.
      data: what the model must know of its data.
      global_batch_size: images per step, of all replicas together.
      versions: package -> version at the last start of the run; {} if not recorded.
      embedding: SHA-256 (16 digits) of the Keras model of `--condition=embedding:...`, or "".
      fingerprint: of the data set; None if not recorded for this run.
    """

    config: Config
    data: DataDescription
    global_batch_size: int
    versions: dict = {}
    embedding: str = ""
    fingerprint: DatasetFingerprint | None = None


def versions() -> dict[str, str]:
    """Name -> version of Python and of `PACKAGES`, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write(folder: str, saved: RunConfig) -> None:
    """Writes `config.json` atomically. Raises UserError if it cannot be written."""
    path = os.path.join(folder, NAME)
    fields = dataclasses.asdict(saved.config) | {
        "format_version": FORMAT_VERSION,
        "data": saved.data._asdict(),
        "global_batch_size": saved.global_batch_size,
        "versions": saved.versions,
    }
    if saved.embedding:
        fields["embedding"] = saved.embedding
    if saved.fingerprint is not None:
        fields["read"] = saved.fingerprint._asdict()
    with writing(path):
        write_json(path, fields)


def read(folder: str, workdir: str) -> RunConfig:
    """Reads `config.json`.

    Args:
      folder: where it is.
      workdir: the run's name, which becomes `config.workdir`.

    Raises:
      UserError: if there is none or it is damaged, naming the field.
    """
    path = os.path.join(folder, NAME)
    try:
        with open(path, encoding="utf-8") as file:
            fields = json.load(file)
        if not isinstance(fields, dict):
            raise ValueError("it is not an object")
        version = fields.pop("format_version", 1)
        if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
            raise ValueError(
                f"format_version is {version!r}, this version of pixelcnn_tf reads 1 to "
                f"{FORMAT_VERSION}"
            )
        if version == 1:
            _upgrade(fields)
        data = _typed("data", DataDescription, fields.pop("data"))
        fingerprint = fields.pop("read", None)
        if fingerprint is not None:
            fingerprint = _typed("read", DatasetFingerprint, fingerprint)
        rest = {name: fields.pop(name) for name in ("versions", "embedding") if name in fields}
        batch = fields.pop("global_batch_size", None)
        config = Config(**with_present_names(fields)).replace(workdir=workdir)
        check(config)
        batch = config.batch_size if batch is None else batch
        found = RunConfig(config, data, batch, **rest, fingerprint=fingerprint)
        _check_types(found)
        return found
    except FileNotFoundError:
        raise ArgumentError("workdir", workdir, f"no run here ({NAME} is missing)") from None
    except KeyError as error:
        raise UserError(f"{path}: not a configuration ({error} is missing)") from None
    except (OSError, ValueError, TypeError, RecursionError, UserError) as error:
        raise UserError(f"{path}: not a configuration ({error})") from None


def _upgrade(fields):
    """Turns the fields of format 1 into those of format 2, in which `num_levels` declares the
    levels of the data and `quantize` reduces them, and averages have a warm-up unless it is off."""
    fields.setdefault("polyak_warmup", False)
    read = fields.get("read")
    declared = isinstance(read, dict) and read.pop("values_are_levels", False)
    if fields.get("num_levels") and not declared:
        fields["quantize"], fields["num_levels"] = fields["num_levels"], 0


def _typed(name, kind, values):
    """A NamedTuple `kind` of a JSON object. Raises ValueError, naming the field, if one is missing
    or unknown, or its type is wrong."""
    if not isinstance(values, dict):
        raise ValueError(f"{name} is {values!r}, must be an object")
    for field in sorted(set(values) - set(kind._fields)):
        raise ValueError(f"{name}.{field} is unknown")
    values = {
        field: tuple(value) if isinstance(value, list) else value for field, value in values.items()
    }
    for field, value in values.items():
        if not _has_type(value, kind.__annotations__[field]):
            raise ValueError(f"{name}.{field} is {value!r}, must be {kind.__annotations__[field]}")
    for field in sorted(set(kind._fields) - set(kind._field_defaults) - set(values)):
        raise ValueError(f"{name}.{field} is missing")
    return kind(**values)


def _has_type(value, annotation):
    """Whether a value is of a type: `int` (at least 0), `bool`, `str`, `int | None`, or a tuple of
    three sizes."""
    if annotation == tuple[int, int, int]:
        return type(value) is tuple and len(value) == 3 and all(_is_size(size) for size in value)
    if annotation == (int | None):
        return value is None or _is_size(value)
    return type(value) is annotation and (annotation is not int or value >= 0)


def _is_size(value):
    return type(value) is int and value >= 1


def _check_types(saved):
    strings = isinstance(saved.versions, dict) and all(
        type(version) is str for version in saved.versions.values()
    )
    if not strings:
        raise ValueError(f"versions is {saved.versions!r}, must be an object of strings")
    if type(saved.embedding) is not str:
        raise ValueError(f"embedding is {saved.embedding!r}, must be a string")
    if not _is_size(saved.global_batch_size):
        raise ValueError(f"global_batch_size is {saved.global_batch_size!r}, must be at least 1")
    if saved.data.num_levels < 2:
        raise ValueError(f"data.num_levels is {saved.data.num_levels}, must be at least 2")


def check_config_matches(saved: RunConfig, config: Config) -> None:
    """Raises ArgumentError if a run cannot be resumed with another configuration, listing the
    fields that may not change."""
    there = saved.config
    if there.embedding_file and config.embedding_file:
        # The file may have moved: its fingerprint decides, see `train/run/embedding.py`.
        there = there.replace(condition=config.condition)
    differing = [
        f"{field.name} is {getattr(there, field.name)!r} there, {getattr(config, field.name)!r} "
        "here"
        for field in dataclasses.fields(Config)
        if getattr(there, field.name) != getattr(config, field.name)
        and not field.metadata["may_change"]
    ]
    if differing:
        raise ArgumentError(
            "workdir",
            config.workdir,
            f"holds a run with another configuration: {', '.join(differing)}; use another "
            "--workdir or the same flags",
        )


def check_batch_matches(saved: RunConfig, config: Config, num_replicas: int) -> None:
    """Raises ArgumentError if the run to be resumed has another global batch: the data would come
    in another order, and the loss, a sum over the batch, on another scale."""
    there, here = saved.global_batch_size, config.batch_size * num_replicas
    if here == there:
        return
    if there % num_replicas:
        advice = f"use a number of replicas that divides {there}"
    else:
        advice = f"use --batch_size={there // num_replicas}"
    raise ArgumentError(
        "batch_size",
        config.batch_size,
        f"on {num_replicas} replica(s) this is a global batch of {here}, but --workdir="
        f"{config.workdir} holds a run with {there}; {advice}, or another --workdir",
    )


def check_dataset_matches(saved: RunConfig, config: Config, dataset: "Dataset") -> None:
    """Raises UserError if the data of a run to be resumed has changed: batches would hold other
    images, and images that were trained on could be scored."""
    check_same_kind(saved.data, dataset, config.dataset, f"the run in {config.workdir}")
    here = DatasetFingerprint.of(dataset)
    if saved.fingerprint not in (None, here):
        raise ArgumentError(
            "dataset",
            config.dataset,
            f"has changed: {here}, but the run in {config.workdir} was started with "
            f"{saved.fingerprint}; restore the data, or use another --workdir",
        )


def changed_data_warning(saved: RunConfig, config: Config, dataset: "Dataset") -> str:
    """A sentence if a run's data set has changed since the training, or "". Splits that `config`
    names differently from the run are not compared."""
    there, here = saved.fingerprint, DatasetFingerprint.of(dataset)
    if config.dataset != saved.config.dataset or there is None:
        return ""
    same_scored = config.eval_split == saved.config.eval_split
    if not same_scored:
        there = there._replace(num_scored=here.num_scored, parts_by_hash=here.parts_by_hash)
    # Without flags, what is trained on depends on what is scored.
    if config.train_split != saved.config.train_split or not (config.train_split or same_scored):
        there = there._replace(num_train=here.num_train)
    if there == here:
        return ""
    return (
        f"--dataset={config.dataset} has {here}, but the run was started with {there}: images that "
        "it was trained on may be among the scored ones"
    )


def check_same_kind(
    expected: DataDescription, found: "DataDescription | Dataset", dataset: str, owner: str
) -> None:
    """Raises ArgumentError unless a data set has images of the expected kind.

    Args:
      expected: what is needed; num_classes None: any.
      found: what the data set has; sizes that are None are not known, and may be any.
      dataset: the value of `--dataset`.
      owner: who needs it, such as "the run in runs/x".
    """
    for field, value in expected._asdict().items():
        actual = getattr(found, field)
        if field == "num_classes" and value is None:
            continue
        if field == "fingerprint":
            if value != actual:
                raise ArgumentError(
                    "dataset",
                    dataset,
                    f"its VQ-VAE has the fingerprint {actual or 'none'}, but {owner} needs "
                    f"{value or 'none'}: the VQ-VAE was changed or is another one; restore its "
                    "checkpoints, or train another prior",
                )
            continue
        if field == "image_shape":
            same = all(a in (None, b) for a, b in zip(actual, value, strict=True))
        else:
            same = value == actual
        if not same:
            text = f"has images with {field} {actual}, but {owner} has {field} {value}"
            raise ArgumentError("dataset", dataset, text)
