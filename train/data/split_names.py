"""Which images are trained on and which are scored: `--train_split` and `--eval_split`.

They are written as those of tfds: `validation`, `train[:90%]`, `train[1000:]`, `train+validation`.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import NamedTuple

from train.data.options import DataOptions
from train.errors import ArgumentError, reason

TEST_SPLITS = ("test", "validation", "valid", "val")  # names of the split that is scored, by rank
VALIDATION_SPLITS = TEST_SPLITS[1:]
HELD_OUT_PERCENT = 10  # of train, where a data set has no other split to score


class Piece(NamedTuple):
    """Images `begin` ... `end` - 1 of a split."""

    split: str
    begin: int
    end: int


class Choice(NamedTuple):
    """What is trained on and what is scored.

    Attributes:
      train, scored: as the flags give them.
      train_pieces, scored_pieces: tuples of `Piece`.
      name: how to call what is scored.
      is_test: it is the whole of the split that is scored by default.
      validation: name of the validation split, or None.
      note: what a reader of the score should know, or "".
    """

    train: str
    scored: str
    train_pieces: tuple
    scored_pieces: tuple
    name: str
    is_test: bool
    validation: str | None
    note: str


def choose(dataset: str, splits: Mapping[str, object], options: DataOptions) -> Choice:
    """What to train on and what to score.

    Args:
      dataset: the value of `--dataset`.
      splits: name -> number of images, or tfds' own description.
      options: with `train_split` and `eval_split`.

    Raises:
      UserError: if there is no such split, or no image in it.
    """
    infos = {
        name: SimpleNamespace(num_examples=info) if isinstance(info, int) else info
        for name, info in splits.items()
    }
    validation = next((split for split in VALIDATION_SPLITS if split in infos), None)
    default = next((split for split in TEST_SPLITS if split in infos), None)
    train, scored, notes = options.train_split, options.eval_split, []
    name = "validation" if scored in VALIDATION_SPLITS else scored or "test"
    if scored == "test" and "test" not in infos:
        scored = ""  # what stands for it
    if scored in VALIDATION_SPLITS and scored not in infos and validation:
        scored = validation
    if not train and "train" not in infos:
        raise ArgumentError(
            "dataset",
            dataset,
            f"has no split train, only {', '.join(sorted(infos))}; "
            "--train_split says what to train on",
        )
    is_test = scored in ("", default)
    if not scored and default is None:
        keep = 100 - HELD_OUT_PERCENT
        scored, train = f"train[{keep}%:]", train or f"train[:{keep}%]"
        notes.append(f"no test split of its own: scored on the last {HELD_OUT_PERCENT} % of train")
    elif not scored:
        scored = default
        if default != "test":
            notes.append(f"no test split of its own: scored on its split {default}")
    train = train or "train"
    train_pieces = _pieces(dataset, "train_split", train, infos)
    scored_pieces = _pieces(dataset, "eval_split", scored, infos)
    both = sum(_overlap(a, b) for a in train_pieces for b in scored_pieces)
    if both:
        count = sum(piece.end - piece.begin for piece in scored_pieces)
        notes.append(f"{min(both, count):,} of the {count:,} scored images are trained on too")
    return Choice(
        train,
        scored,
        train_pieces,
        scored_pieces,
        name,
        is_test and len(scored_pieces) == 1,
        validation,
        "; ".join(notes),
    )


def _overlap(a, b):
    return max(0, min(a.end, b.end) - max(a.begin, b.begin)) if a.split == b.split else 0


def _pieces(dataset, flag, text, infos):
    """The pieces that a flag's value names; at least one."""
    if text in infos:
        pieces = (Piece(text, 0, infos[text].num_examples),)
    else:
        import tensorflow_datasets as tfds

        pieces = []
        for part in text.split("+"):
            try:
                instruction = tfds.core.ReadInstruction.from_spec(part.strip())
                found = instruction.to_absolute(infos)
            except Exception as error:  # a ValueError, an AssertionError, tfds' own
                raise ArgumentError(
                    flag,
                    text,
                    f"--dataset={dataset} has the splits {', '.join(sorted(infos))}; write a part "
                    f"of one as train[:90%] ({reason(error)})",
                ) from None
            for piece in found:
                end = infos[piece.splitname].num_examples if piece.to is None else piece.to
                pieces.append(Piece(piece.splitname, piece.from_ or 0, end))
    if any(piece.end <= piece.begin for piece in pieces) or not pieces:
        raise ArgumentError(flag, text, f"has no image of --dataset={dataset}")
    return tuple(pieces)
