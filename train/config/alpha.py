"""`--alpha`: what is made of transparent images."""

from absl import flags

ALPHA = ("", "drop", "white", "black")  # "": they are refused


def define_alpha() -> None:
    """The flag of the commands that read image files; `train.main` has it of its `Config`."""
    flags.DEFINE_enum(
        "alpha",
        "",
        ALPHA,
        "transparent images: drop (the transparency), white or black (ground); default: refused",
    )
