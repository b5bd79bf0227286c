"""Compresses images by a run's model, without loss:

python -m train.compress --workdir=... --images=folder --output=images.pcnn
"""

import os
import sys
import time

from absl import flags as absl_flags

from train import flags
from train.command import run, start_tensorflow
from train.errors import ArgumentError, writing
from train.files import atomic_write, check_writable_file
from train.run import Run

FLAGS = absl_flags.FLAGS
BATCH_SIZE = 64


def define() -> None:
    flags.define("workdir", "averaged", "images", "num_images", "alpha", "label", "data_dir")
    flags.define(
        output="file to write, such as images.pcnn",
        batch_size=f"images computed at a time; 0: {BATCH_SIZE}",
    )


def main(_) -> None:
    opened = Run.open(FLAGS.workdir)
    for name, what in (("images", "what to compress"), ("output", "the file to write")):
        if not FLAGS[name].value:
            raise ArgumentError(name, None, f"is missing: {what}")
    if FLAGS.label is not None and not opened.config.class_conditional:
        raise ArgumentError("label", FLAGS.label, "the model is not class-conditional")
    check_writable_file("output", FLAGS.output)
    start_tensorflow()
    from train.compression.codec import compressing, make_codec, parts_of
    from train.data.image_sources import open_images
    from train.progress import Counter

    data_dir = FLAGS.data_dir or opened.config.data_dir
    images = open_images("images", FLAGS.images, data_dir, FLAGS.num_images, FLAGS.alpha)
    codec = make_codec(opened, FLAGS.averaged)
    weights = "averaged" if FLAGS.averaged else "raw"
    print(f"{opened.workdir}, step {opened.step}, {weights} weights", flush=True)
    begin, subpixels = time.monotonic(), []
    counter = Counter(("encoded", "images"), images.count, sys.stderr)
    parts = parts_of(images, opened, FLAGS.label, subpixels)
    batch_size = FLAGS.batch_size or BATCH_SIZE
    try:
        with (
            writing(f"--output={FLAGS.output}"),
            compressing(),
            atomic_write(FLAGS.output) as temporary,
            open(temporary, "wb") as file,
        ):
            for piece in codec.write(parts, batch_size, progress=counter.advance):
                file.write(piece)
    finally:
        counter.close()
    size, seconds = os.path.getsize(FLAGS.output), time.monotonic() - begin
    print(
        f"{FLAGS.output}: {images.count:,} images in {size:,} bytes, "
        f"{8 * size / sum(subpixels):.4f} bits/dim, in {seconds:.1f} s"
    )


if __name__ == "__main__":
    define()
    run(main)
