"""How a data set is to be read: what the flags say about it."""

from typing import NamedTuple

from train.config.config import Config
from train.config.sizes import parse_size


class DataOptions(NamedTuple):
    """What `load` does to a data set; the fields are flags of training, told in its `--help`.

    `resize` and `crop` are `(H, W)` or None.
    """

    binarize: str = ""
    train_split: str = ""
    eval_split: str = ""
    resize: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    random_flip: bool = False
    mutation_rate: float = 0.0
    alpha: str = ""
    skip_broken: bool = False

    @classmethod
    def of(cls, config: Config) -> "DataOptions":
        """Those of a checked configuration."""
        values = {field: getattr(config, field) for field in cls._fields}
        sizes = {field: parse_size(values[field]) for field in ("resize", "crop")}
        return cls(**values | sizes)


DEFAULTS = DataOptions()


def size_text(size: tuple) -> str:
    """`(32, 48)` or `(32, 48, 3)` as "32x48"."""
    return f"{size[0]}x{size[1]}"
