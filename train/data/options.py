"""How a data set is read: the flags about it."""

from typing import NamedTuple

from train.config.config import Config, parse_size


class DataOptions(NamedTuple):
    """What `load` does to a data set; the fields are flags of `train.main`.

    `resize` and `crop` are `(H, W)` or None.
    """

    num_levels: int = 0
    quantize: int = 0
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
        """The options of a checked configuration."""
        values = {field: getattr(config, field) for field in cls._fields}
        sizes = {field: parse_size(values[field]) for field in ("resize", "crop")}
        return cls(**values | sizes)


DEFAULTS = DataOptions()


def size_text(size: tuple) -> str:
    """`(32, 48)` or `(32, 48, 3)` as "32x48"."""
    return f"{size[0]}x{size[1]}"
