"""The flag `--alpha` of the commands that read image files."""

from absl import flags


def define_alpha() -> None:
    flags.DEFINE_enum(
        "alpha",
        "",
        ["", "drop", "white", "black"],
        "transparent images: drop (the transparency), white or black (ground); default: refused",
    )
