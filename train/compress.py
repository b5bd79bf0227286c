"""Compresses images by a run's model, without loss:

python -m train.compress --workdir=... --images=folder --output=images.pcnn
"""

import os
import sys
import time

from absl import flags

from train.config import config_json as configuration
from train.config.alpha import define_alpha
from train.errors import UserError, run, writing
from train.files import make_writable_folder, whole
from train.quiet import start_tensorflow

FLAGS = flags.FLAGS


def define() -> None:
    flags.DEFINE_string("workdir", "", "folder of the run")
    flags.DEFINE_string(
        "images",
        "",
        "a folder (with all below it), an image file, an .npz with images, x_test or x_train, or "
        "a data set's split such as mnist:test",
    )
    define_alpha()
    flags.DEFINE_string("output", "", "file to write, such as images.pcnn")
    flags.DEFINE_string("data_dir", "", "where tfds data sets are, if elsewhere than in training")
    flags.DEFINE_integer("num_images", 0, "take so many, the first; 0: all")
    flags.DEFINE_integer("label", None, "class of all images (class-conditional models)")
    flags.DEFINE_integer("batch_size", 64, "images that the network is given at a time")
    flags.DEFINE_bool("averaged", True, "use the averaged weights, not the raw ones")


def main(_) -> None:
    saved = configuration.require_run(FLAGS.workdir)
    for name, what in (("images", "what to compress"), ("output", "the file to write")):
        if not FLAGS[name].value:
            raise UserError(f"--{name} is missing: {what}")
    if FLAGS.batch_size < 1:
        raise UserError(f"--batch_size={FLAGS.batch_size}: must be at least 1")
    if FLAGS.num_images < 0:
        raise UserError(f"--num_images={FLAGS.num_images}: must be at least 0")
    if FLAGS.label is not None and not saved.config.class_conditional:
        raise UserError(f"--label={FLAGS.label}: the model is not class-conditional")
    with writing(f"--output={FLAGS.output}"):
        if os.path.isdir(FLAGS.output):
            raise IsADirectoryError(None, "it is a folder")
        make_writable_folder(os.path.dirname(FLAGS.output))
    start_tensorflow()
    from train.compression.codec import compressing, load_codec, parts_of
    from train.data.image_sources import open_images
    from train.progress import Counter

    data_dir = FLAGS.data_dir or saved.config.data_dir
    images = open_images("images", FLAGS.images, data_dir, FLAGS.num_images, FLAGS.alpha)
    codec, step = load_codec(FLAGS.workdir, FLAGS.averaged)
    weights = "averaged" if FLAGS.averaged else "raw"
    print(f"{FLAGS.workdir}, step {step}, {weights} weights", flush=True)
    begin, subpixels = time.monotonic(), []
    counter = Counter(("encoded", "images"), images.count, sys.stderr)
    parts = parts_of(images, saved, FLAGS.label, subpixels)
    try:
        with writing(f"--output={FLAGS.output}"), compressing(), whole(FLAGS.output) as temporary:
            with open(temporary, "wb") as file:
                for piece in codec.write(parts, FLAGS.batch_size, progress=counter.advance):
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
