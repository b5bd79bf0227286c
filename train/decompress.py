"""Restores the images that `train.compress` has compressed:

python -m train.decompress --workdir=... --input=images.pcnn --output=folder
"""

import os
import sys
import time

from absl import flags as absl_flags

from train import flags
from train.command import run, start_tensorflow
from train.errors import ArgumentError, writing
from train.files import make_writable_folder
from train.run import Run

FLAGS = absl_flags.FLAGS


def define() -> None:
    flags.define("averaged", workdir="the run that compressed them")
    absl_flags.DEFINE_string("input", "", "file of train.compress")
    flags.define(
        output="folder to write, new or empty, of PNG files; or a file .npz (one size only)",
        batch_size="images computed at a time; 0: those coded side by side",
    )
    absl_flags.DEFINE_bool("jit_compile", False, "compile by XLA: half a minute, then faster")


def check_flags() -> str:
    """The normalised `--output`. Raises ArgumentError for a flag that cannot be used."""
    for name, what in (("input", "the compressed file"), ("output", "a folder, or an .npz")):
        if not FLAGS[name].value:
            raise ArgumentError(name, None, f"is missing: {what}")
    if not os.path.isfile(FLAGS.input):
        raise ArgumentError("input", FLAGS.input, "no such file")
    output = os.path.normpath(FLAGS.output)
    if not output.endswith(".npz") and os.path.exists(output):
        if not os.path.isdir(output) or os.listdir(output):
            raise ArgumentError("output", FLAGS.output, "must be new, or an empty folder")
    with writing(f"--output={FLAGS.output}"):
        make_writable_folder(os.path.dirname(output))
    return output


def main(_) -> None:
    opened = Run.open(FLAGS.workdir)
    output = check_flags()
    start_tensorflow()
    from train.compression.codec import decompressing, make_codec, writer
    from train.progress import Counter

    codec = make_codec(opened, FLAGS.averaged)
    begin = time.monotonic()
    with decompressing(FLAGS.input), open(FLAGS.input, "rb") as file:
        sizes = codec.sizes(file)
        if len(sizes) > 1 and output.endswith(".npz"):
            raise ArgumentError("output", FLAGS.output, "the images differ in size; give a folder")
        count = sum(sizes.values())
        counter = Counter(("decoded", "images"), count, sys.stderr)
        try:
            options = dict(jit_compile=FLAGS.jit_compile, progress=counter.advance)
            parts = codec.read(file, FLAGS.batch_size or None, **options)
            with writing(f"--output={FLAGS.output}"):
                writer(output, codec)(parts)
        finally:
            counter.close()
    print(f"{FLAGS.output}: {count:,} images, in {time.monotonic() - begin:.1f} s")


if __name__ == "__main__":
    define()
    run(main)
