"""Gives back the images that `train.compress` has compressed:

python -m train.decompress --workdir=... --input=images.pcnn --output=folder
"""

import os
import sys
import time

from absl import flags

from train.config import config_json as configuration
from train.errors import UserError, run, writing
from train.files import make_writable_folder
from train.quiet import start_tensorflow

FLAGS = flags.FLAGS


def define() -> None:
    flags.DEFINE_string("workdir", "", "folder of the run that compressed them")
    flags.DEFINE_string("input", "", "file of train.compress")
    flags.DEFINE_string(
        "output", "", "folder to write, new or empty, of PNG files; or a file .npz (one size only)"
    )
    flags.DEFINE_integer(
        "batch_size", 0, "images that the network is given at a time; 0: those coded side by side"
    )
    flags.DEFINE_bool("jit_compile", False, "compile by XLA: half a minute, faster after it")
    flags.DEFINE_bool("averaged", True, "use the averaged weights, not the raw ones")


def main(_) -> None:
    configuration.require_run(FLAGS.workdir)
    for name, what in (("input", "the compressed file"), ("output", "a folder, or an .npz")):
        if not FLAGS[name].value:
            raise UserError(f"--{name} is missing: {what}")
    if FLAGS.batch_size < 0:
        raise UserError(f"--batch_size={FLAGS.batch_size}: must be at least 0")
    if not os.path.isfile(FLAGS.input):
        raise UserError(f"--input={FLAGS.input}: no such file")
    output = os.path.normpath(FLAGS.output)
    if not output.endswith(".npz") and os.path.exists(output):
        if not os.path.isdir(output) or os.listdir(output):
            raise UserError(f"--output={FLAGS.output}: must be new, or an empty folder")
    with writing(f"--output={FLAGS.output}"):
        make_writable_folder(os.path.dirname(output))
    start_tensorflow()
    from train.compression.codec import decompressing, load_codec, writer
    from train.progress import Counter

    codec, _ = load_codec(FLAGS.workdir, FLAGS.averaged)
    begin = time.monotonic()
    with decompressing(FLAGS.input), open(FLAGS.input, "rb") as file:
        sizes = codec.sizes(file)
        if len(sizes) > 1 and output.endswith(".npz"):
            raise UserError(f"--output={FLAGS.output}: the images differ in size; give a folder")
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
