"""`config.json` in a run's folder: what the run was started with."""

import dataclasses
import json
import os
from typing import NamedTuple

from train.config.config import FROM_DEFAULT, Config, check
from train.config.embedding_name import is_embedding
from train.config.pretrained import read_from
from train.config.versions import versions
from train.errors import UserError, writing
from train.files import write_json

OTHER_PARTS = (
    "the parts of a folder's splits are other images than when the run was begun, by an older "
    "version that counted them in the order of their names: it trained on some that are now held "
    "out"
)


class DataDescription(NamedTuple):
    """What a model must know of its data; `train.data.dataset.Dataset` has the same attributes.

    `fingerprint` is that of the VQ-VAE whose codes the images are, or "".
    """

    image_shape: tuple[int, int, int]
    num_levels: int
    num_classes: int | None
    fingerprint: str = ""


class DataRead(NamedTuple):
    """How the images of a data set were read, and how many there were.

    Attributes:
      num_train, num_scored: images of the two splits.
      values_are_levels, parts_by_hash: see `train.data.dataset.Dataset`.
    """

    num_train: int
    num_scored: int
    values_are_levels: bool
    parts_by_hash: bool = False


class Saved(NamedTuple):
    """What `config.json` holds.

    Attributes:
      versions: those of the last start of the run, see `train.config.versions`; {} if it is older
        than they.
      embedding: the fingerprint of the Keras model of `--condition=embedding:...`, or "".
      read: how its data was read; None if the run is older than that being kept, or has no data.
    """

    config: Config
    data: DataDescription
    global_batch_size: int
    versions: dict = {}
    embedding: str = ""
    read: DataRead | None = None


def path_in(workdir: str) -> str:
    return os.path.join(read_from(workdir), "config.json")


def save(
    config: Config, dataset, global_batch_size: int | None = None, embedding: str = ""
) -> None:
    """Writes `config.json` in the run's folder, whole or not at all: the fields of the
    configuration, as `data` those of `DataDescription`, the batch size of all replicas together
    (default: of one replica), the versions of now, the fingerprint of the embedding if there is
    one, and as `read` the fields of `DataRead`, unless `dataset` is a `DataDescription`.

    Raises:
      UserError: if it cannot be written.
    """
    path = path_in(config.workdir)
    with writing(path):
        write_json(
            path,
            dataclasses.asdict(config)
            | {
                "data": {field: getattr(dataset, field) for field in DataDescription._fields},
                "global_batch_size": global_batch_size or config.batch_size,
                "versions": versions(),
            }
            | ({"embedding": embedding} if embedding else {})
            | ({} if isinstance(dataset, DataDescription) else {"read": _read(dataset)._asdict()}),
        )


def _read(dataset):
    """The `DataRead` of a `Dataset`."""
    return DataRead(
        dataset.train.num_examples,
        dataset.test.num_examples,
        dataset.values_are_levels,
        dataset.parts_by_hash,
    )


def load(workdir: str) -> Saved:
    """Reads the `config.json` of a run. Fields that an older version did not have get their
    defaults.

    Raises:
      UserError: if there is none, or it is not one of ours, naming the field.
    """
    path = path_in(workdir)
    try:
        with open(path, encoding="utf-8") as file:
            fields = json.load(file)
        if not isinstance(fields, dict):
            raise ValueError("no object")
        data = _description(fields.pop("data"))
        global_batch_size = fields.pop("global_batch_size", None)
        computed_with = _versions(fields.pop("versions", {}))
        embedding = fields.pop("embedding", "")
        if not isinstance(embedding, str):
            raise ValueError(f"embedding is {embedding!r}, must be a string")
        read = fields.pop("read", None)
        read = None if read is None else _data_read(read)
        config = Config(**fields).replace(workdir=workdir)
        check(config)
        global_batch_size = config.batch_size if global_batch_size is None else global_batch_size
        _require_integer("global_batch_size", global_batch_size, least=1)
        return Saved(config, data, global_batch_size, computed_with, embedding, read)
    except FileNotFoundError:
        raise UserError(f"--workdir={workdir}: no run here (config.json is missing)") from None
    except KeyError as error:
        raise UserError(f"{path}: not a configuration ({error} is missing)") from None
    except (OSError, ValueError, TypeError, RecursionError, UserError) as error:
        raise UserError(f"{path}: not a configuration ({error})") from None


def _description(data) -> DataDescription:
    """The `data` of a `config.json`. Raises ValueError, naming the field, if it is none."""
    if not isinstance(data, dict):
        raise ValueError(f"data is {data!r}, must be an object")
    shape = data["image_shape"]
    if not isinstance(shape, list) or len(shape) != 3:
        raise ValueError(f"data.image_shape is {shape!r}, must be three numbers")
    for size in shape:
        _require_integer("data.image_shape", size, least=1)
    _require_integer("data.num_levels", data["num_levels"], least=2)
    if data["num_classes"] is not None:
        _require_integer("data.num_classes", data["num_classes"], least=1)
    fingerprint = data.get("fingerprint", "")  # older runs have none
    if not isinstance(fingerprint, str):
        raise ValueError(f"data.fingerprint is {fingerprint!r}, must be a string")
    return DataDescription(tuple(shape), data["num_levels"], data["num_classes"], fingerprint)


def _data_read(value) -> DataRead:
    """The `read` of a `config.json`. Raises ValueError if it is none."""
    added = DataRead._field_defaults  # which older runs do not have
    if not isinstance(value, dict) or set(added | value) != set(DataRead._fields):
        raise ValueError(f"read is {value!r}, must be an object of {', '.join(DataRead._fields)}")
    read = DataRead(**value)
    _require_integer("read.num_train", read.num_train, least=0)
    _require_integer("read.num_scored", read.num_scored, least=0)
    for name in ("values_are_levels", "parts_by_hash"):
        if type(getattr(read, name)) is not bool:
            raise ValueError(f"read.{name} is {getattr(read, name)!r}, must be a boolean")
    return read


def _versions(value):
    """The `versions` of a `config.json`. Raises ValueError if they are none."""
    if not isinstance(value, dict) or not all(type(version) is str for version in value.values()):
        raise ValueError(f"versions is {value!r}, must be an object of strings")
    return value


def _require_integer(name, value, least):
    if type(value) is not int or value < least:
        raise ValueError(f"{name} is {value!r}, must be an integer of at least {least}")


def require_run(workdir: str) -> Saved:
    """`load`, of the flag `--workdir`. Raises UserError also if the flag is not given."""
    if not workdir:
        raise UserError("--workdir is missing: the folder of the run")
    return load(workdir)


def find(workdir: str) -> Saved | None:
    """`load`, or None if the folder has no `config.json`."""
    return load(workdir) if os.path.exists(path_in(workdir)) else None


def _may_change(field, value):
    """Whether a field that has `value` may have another when the run is continued."""
    may_change = field.metadata["may_change"]
    return value == field.default if may_change == FROM_DEFAULT else may_change


def refuse_another(saved: Saved, config: Config) -> None:
    """Raises UserError, naming the fields, if `config` computes otherwise than the saved run."""
    there, here = saved.config, config
    if is_embedding(there.condition) and is_embedding(here.condition):
        # The file may have moved: its fingerprint tells, see `train/run/embedding.py`.
        there = there.replace(condition=here.condition)
    differing = [
        f"{field.name} (there {getattr(there, field.name)!r}, here {getattr(here, field.name)!r})"
        for field in dataclasses.fields(Config)
        if getattr(there, field.name) != getattr(here, field.name)
        and not _may_change(field, getattr(there, field.name))
    ]
    if differing:
        raise UserError(
            f"--workdir={config.workdir} holds a run with another configuration: "
            f"{', '.join(differing)}; use another --workdir or the same flags"
        )


def refuse_another_batch(saved: Saved, config: Config, num_replicas: int) -> None:
    """Raises UserError if the saved run has another global batch: another order of the data, and
    another scale of the loss, which is a sum over the batch."""
    there, here = saved.global_batch_size, config.batch_size * num_replicas
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


def refuse_data_read_otherwise(saved: Saved, config: Config, dataset) -> None:
    """Raises UserError if a run to be continued has another number of images than it had, or their
    values mean something else: every epoch's order would be another, and images that were trained
    on could be scored."""
    here = _read(dataset)
    if here.parts_by_hash and not (saved.read and saved.read.parts_by_hash):
        raise UserError(f"--workdir={config.workdir}: --dataset={config.dataset}: {OTHER_PARTS}")
    if saved.read in (None, here):
        return
    raise UserError(
        f"--workdir={config.workdir}: holds a run with {_told(saved.read)}, but --dataset="
        f"{config.dataset} has {_told(here)}: it was changed; put it back as it was, or use "
        "another --workdir"
    )


def warn_of_other_data(saved: Saved, config: Config, dataset) -> str:
    """A sentence if the data set of a run, by which it is scored now, is not read as it was in
    training, or "". Splits that `config` names otherwise than the run did are not compared."""
    there, here = saved.read, _read(dataset)
    if config.dataset != saved.config.dataset:
        return ""
    if there is None:
        return f"--dataset={config.dataset}: {OTHER_PARTS}" if here.parts_by_hash else ""
    same_scored = config.eval_split == saved.config.eval_split
    if not same_scored:
        there = there._replace(num_scored=here.num_scored, parts_by_hash=here.parts_by_hash)
    # Without flags what is trained on depends on what is scored.
    if config.train_split != saved.config.train_split or not (config.train_split or same_scored):
        there = there._replace(num_train=here.num_train)
    if there == here:
        return ""
    return (
        f"--dataset={config.dataset} has {_told(here)}, but the run was begun with "
        f"{_told(there)}: images that it was trained on may be among those that are scored"
    )


def _told(read):
    levels = ", whose values are taken for levels" if read.values_are_levels else ""
    parts = ", parts in the order of the names' hashes" if read.parts_by_hash else ""
    return f"{read.num_train:,} images to train on and {read.num_scored:,} to score{levels}{parts}"


def refuse_other_data(saved: Saved, config: Config, dataset) -> None:
    """Raises UserError if the saved run has data of another kind than `dataset`."""
    run = f"--workdir={config.workdir}: holds a run on"
    refuse_images_of_another_kind(saved.data, config, dataset, run)


def refuse_images_of_another_kind(
    data: DataDescription, config: Config, dataset, what: str
) -> None:
    """Raises UserError, which begins with `what`, if a data set is not of the kind `data`.

    Args:
      data: what is needed.
      config: the configuration that needs it, and names the data set.
      dataset: a `Dataset` or `DataDescription`; a size that is None is not known, and may be any.
      what: "... on": who needs it.
    """
    for field, value in data._asdict().items():
        found = getattr(dataset, field)
        if field == "num_classes" and not config.class_conditional:
            continue  # an unconditional model knows nothing of them
        if field == "fingerprint" and value != found:
            raise UserError(
                f"{what} the codes of a VQ-VAE with the fingerprint {value or 'none'}, but "
                f"--dataset={config.dataset} has {found or 'none'}: it was changed or is another "
                "one; put its checkpoints back, or train another prior"
            )
        if field == "image_shape":
            same = all(there in (None, here) for there, here in zip(found, value, strict=True))
        else:
            same = value == found
        if not same:
            raise UserError(
                f"{what} images with {field} {value}, but --dataset={config.dataset} has {found}"
            )
