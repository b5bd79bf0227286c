"""Naive against cached sampling, alternated in one process.

    python benchmarks/sampling.py --config=small --batches=1,16,64 --xla

Prints, for each batch size, the median and the spread of both, their ratio, and the arithmetic
throughput beside that of a large matrix product. One pass of the naive sampler is timed and
multiplied by the number of pixels (the output says so).
"""

import statistics
import time

import tensorflow as tf
from absl import app, flags
from costs import forward_flops

from pixelcnn_tf import PixelCNNPlusPlus, sampling

CONFIGS = {
    "small": dict(nr_resnet=2, nr_filters=32, nr_logistic_mix=5),
    "paper": dict(nr_resnet=5, nr_filters=160, nr_logistic_mix=10),
}

FLAGS = flags.FLAGS
flags.DEFINE_enum("config", "small", list(CONFIGS), "size of the network")
flags.DEFINE_list("batches", ["1", "16", "64"], "batch sizes")
flags.DEFINE_list("sides", ["32"], "side lengths of the images")
flags.DEFINE_integer("repeats", 5, "timings of each sampler")
flags.DEFINE_bool("xla", False, "compile the cached sampler with XLA")
flags.DEFINE_bool("naive", True, "time the naive sampler too")


def timed(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def matmul_gflops(size=2048):
    a = tf.random.normal([size, size])
    product = tf.function(lambda: tf.matmul(a, a))
    product()
    return 2 * size**3 / statistics.median(timed(lambda: product().numpy()) for _ in range(7)) / 1e9


def show(times):
    return f"{statistics.median(times):9.3f} s ({min(times):.3f} to {max(times):.3f})"


def main(_):
    print(f"matrix product of 2048: {matmul_gflops():.0f} GFLOP/s", flush=True)
    for side in map(int, FLAGS.sides):
        model = PixelCNNPlusPlus((side, side, 3), **CONFIGS[FLAGS.config])
        for batch in map(int, FLAGS.batches):
            benchmark(model, side, batch)


def benchmark(model, side, batch):
    images = tf.zeros([batch, *model.image_shape])
    uniforms = tf.fill([batch, side, side, model.likelihood.num_uniforms], 0.5)
    one_pass = tf.function(lambda: model.sample_pixels(images, None, uniforms))

    def cached():
        sampling.sample(model, batch, seed=1, batch_size=batch, jit_compile=FLAGS.xla).numpy()

    first = timed(cached)
    if FLAGS.naive:
        one_pass()
    naive_times, cached_times = [], []
    for _ in range(FLAGS.repeats):
        if FLAGS.naive:
            naive_times.append(side * side * timed(lambda: one_pass().numpy()))
        cached_times.append(timed(cached))
    median = statistics.median(cached_times)
    gflops = batch * forward_flops(model) / median / 1e9
    name = f"{FLAGS.config}{' XLA' if FLAGS.xla else ''} {side}x{side} batch {batch}"
    print(f"{name}: cached {show(cached_times)}, {gflops:.1f} GFLOP/s", end="")
    print(f", first call {first:.1f} s", end="")
    if FLAGS.naive:
        print(f", naive (1 pass x {side * side}) {show(naive_times)}", end="")
        print(f", ratio {statistics.median(naive_times) / median:.0f}", end="")
    print(flush=True)


if __name__ == "__main__":
    app.run(main)
