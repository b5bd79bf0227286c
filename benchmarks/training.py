"""Time and memory of a training step and of an evaluation step.

    python benchmarks/training.py                        # the table of docs/performance.md
    python benchmarks/training.py --only=paper --batch=4 --steps=3
    python benchmarks/training.py --ratio                # bfloat16 against float32, 160 filters
    python benchmarks/training.py --peers --only=small   # tfp's PixelCNN beside ours

Each row is measured in a process of its own, whose peak memory (resident) is that of importing,
tracing and running. Beside the times stands what a large convolution reaches on this machine.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

IMAGE_SHAPE = (32, 32, 3)
SIZES = {
    "small": dict(nr_resnet=2, nr_filters=32, nr_logistic_mix=5),
    "paper": dict(nr_resnet=5, nr_filters=160, nr_logistic_mix=10),
    # The paper's width, less deep: for comparing precisions in a short time.
    "wide": dict(nr_resnet=1, nr_filters=160, nr_logistic_mix=10),
}


def timed(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def images_dataset(count):
    """Random images: what they show does not matter to the time."""
    import numpy as np

    from train.data.dataset import Dataset
    from train.data.splits import ArraySplit

    random = np.random.default_rng(0)
    split = ArraySplit(random.integers(0, 256, [count, *IMAGE_SHAPE], np.uint8))
    return Dataset("random", IMAGE_SHAPE, 256, None, split, split)


def make_trainer(size, batch_size, dtype, remat, jit_compile, devices):
    import tensorflow as tf

    from train.config.config import Config
    from train.run import Run
    from train.training.trainer import Trainer

    if devices > 1:
        strategy = tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(devices)])
    else:
        strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    config = Config(
        workdir="/nonexistent",
        batch_size=batch_size // devices,
        dtype=dtype,
        remat=remat,
        jit_compile=jit_compile,
        **(SIZES[size] if isinstance(size, str) else size),
    )
    run = Run(config, config.workdir, None)
    return Trainer(run, images_dataset(batch_size * 32), strategy)


def run_steps(trainer, repeats):
    """Seconds of each of `repeats` training steps, after two that are not counted."""
    batches = trainer.dataset.train.epoch(0, trainer.global_batch_size, seed=1).repeat()
    batches = iter(trainer.strategy.experimental_distribute_dataset(batches))
    for _ in range(2):
        trainer.train_steps(batches, 1).numpy()
    return [timed(lambda: trainer.train_steps(batches, 1).numpy()) for _ in range(repeats)]


def convolution_gflops(dtype, filters=160, repeats=7):
    """What one convolution of the paper's width, batch 16, reaches."""
    import tensorflow as tf

    x = tf.cast(tf.random.normal([16, 33, 34, 2 * filters]), dtype)
    kernel = tf.cast(tf.random.normal([2, 3, 2 * filters, 2 * filters]), dtype)
    convolve = tf.function(lambda: tf.nn.conv2d(x, kernel, 1, "VALID"))
    convolve()
    seconds = statistics.median(
        timed(lambda: convolve()[0, 0, 0, 0].numpy()) for _ in range(repeats)
    )
    return 2 * 16 * 32 * 32 * 6 * (2 * filters) ** 2 / seconds / 1e9


def measure(size, batch, dtype, remat, jit_compile, devices, steps):
    """One row, in the process that is asked for it; printed as JSON."""
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * devices,
    )
    trainer = make_trainer(size, batch, dtype, remat, jit_compile, devices)
    step = run_steps(trainer, steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    from costs import forward_flops

    from train.training.evaluation import make_evaluate

    evaluate = make_evaluate(trainer.model, trainer.strategy)
    split = images_dataset(4 * batch).eval
    evaluate(split, batch)
    evaluation = [timed(lambda: evaluate(split, batch)) / 4 for _ in range(max(2, steps // 4))]
    pipeline = trainer.dataset.train.epoch(0, batch, seed=1)
    seconds = timed(lambda: [None for _ in pipeline])
    row = dict(
        step=statistics.median(step),
        spread=[min(step), max(step)],
        evaluation=statistics.median(evaluation),
        peak=peak,
        flops=3 * batch * forward_flops(trainer.model),
        pipeline=trainer.dataset.train.num_examples / seconds,
    )
    print("ROW " + json.dumps(row))


def in_process(*arguments):
    """Runs this file; returns what its line beginning with ROW holds."""
    command = [sys.executable, os.path.abspath(__file__), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    rows = [line[4:] for line in result.stdout.splitlines() if line.startswith("ROW ")]
    if not rows:
        raise RuntimeError(f"{command}: {result.stderr[-2000:]}")
    return json.loads(rows[0])


def ratio(batch, repeats):
    """bfloat16 against float32: steps of both alternated in one process."""
    trainers = {
        dtype: make_trainer("wide", batch, dtype, False, False, 1)
        for dtype in ("float32", "mixed_bfloat16")
    }
    iterators, times = {}, {dtype: [] for dtype in trainers}
    for dtype, trainer in trainers.items():
        iterators[dtype] = iter(trainer.dataset.train.epoch(0, batch, seed=1).repeat())
        trainer.train_steps(iterators[dtype], 1).numpy()
    for _ in range(repeats):
        for dtype, trainer in trainers.items():
            iterator = iterators[dtype]
            times[dtype].append(timed(lambda t=trainer, i=iterator: t.train_steps(i, 1).numpy()))
    medians = {dtype: statistics.median(values) for dtype, values in times.items()}
    for dtype, median in medians.items():
        spread = f"{min(times[dtype]):.2f} to {max(times[dtype]):.2f}"
        speed = f"{batch / median:.2f} images/s"
        print(f"wide, batch {batch}, {dtype}: {median:.3f} s a step ({spread}), {speed}")
    print(f"ratio of the medians: {medians['float32'] / medians['mixed_bfloat16']:.2f}")


def peers(sizes, batch, repeats):
    """TensorFlow Probability's PixelCNN beside ours: steps and scores, alternated."""
    import tensorflow as tf

    for size in sizes:
        # The mixture of the official small network, which their default is too.
        values = SIZES[size] | dict(nr_logistic_mix=10)
        command = [sys.executable, os.path.join(ROOT, "benchmarks", "tfp_pixelcnn.py")]
        command += map(str, [*values.values(), batch])
        trainer = make_trainer(values, batch, "float32", False, False, 1)
        weights = sum(int(tf.size(v)) for v in trainer.model.trainable_variables)
        batches = iter(trainer.dataset.train.epoch(0, batch, seed=1).repeat())
        images = tf.random.stateless_uniform([batch, *IMAGE_SHAPE], [0, 0], -1.0, 1.0)
        log_prob = tf.function(trainer.averaged_model.log_prob, autograph=False)
        ours = {
            "training": lambda t=trainer, b=batches: t.train_steps(b, 1).numpy(),
            "log_prob": lambda f=log_prob, x=images: f(x).numpy(),
        }
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        ) as peer:
            print(f"{size}, batch {batch}: tfp {int(peer.stdout.readline()):,} weights, ", end="")
            print(f"ours {weights:,}")
            for what, function in ours.items():
                function()
                times = {"tfp": [], "ours": []}
                for _ in range(repeats):
                    peer.stdin.write(what + "\n")
                    times["tfp"].append(float(peer.stdout.readline()))
                    times["ours"].append(timed(function))
                medians = {name: statistics.median(values) for name, values in times.items()}
                for name, values in times.items():
                    spread = f"{min(values):.3f} to {max(values):.3f}"
                    print(f"  {what}, {name}: {medians[name]:.3f} s ({spread})")
                ratio = medians["tfp"] / medians["ours"]
                print(f"  {what}: ours {ratio:.2f} times as fast", flush=True)
            peer.stdin.close()


def profile(folder):
    """Writes a TensorBoard profile of three steps of the small network, batch 16."""
    import tensorflow as tf

    trainer = make_trainer("small", 16, "float32", False, False, 1)
    run_steps(trainer, 1)
    batches = iter(trainer.dataset.train.epoch(1, 16, seed=1))
    tf.profiler.experimental.start(folder)
    for _ in range(3):
        trainer.train_steps(batches, 1).numpy()
    tf.profiler.experimental.stop()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--only", default="small,paper", help="sizes")
    options.add_argument(
        "--batch", type=int, default=0, help="default: 16, of paper 4 (--ratio: 8; --peers: 16)"
    )
    options.add_argument(
        "--steps", type=int, default=0, help="default: 10, of paper 3 (--ratio, --peers: 7)"
    )
    options.add_argument("--variants", default="float32,bfloat16,remat,bfloat16+remat,2 devices")
    options.add_argument("--ratio", action="store_true", help="only bfloat16 against float32")
    options.add_argument("--peers", action="store_true", help="only tfp's PixelCNN beside ours")
    options.add_argument("--profile", default="", help="only write a profile into this folder")
    options.add_argument("--measure", default="", help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.measure == "convolution":
        rates = {dtype: convolution_gflops(dtype) for dtype in ("float32", "bfloat16")}
        return print("ROW " + json.dumps(rates))
    if options.measure:
        return measure(**json.loads(options.measure))
    if options.ratio:
        return ratio(options.batch or 8, options.steps or 7)
    if options.peers:
        return peers(options.only.split(","), options.batch or 16, options.steps or 7)
    if options.profile:
        return profile(options.profile)

    rates = in_process("--measure=convolution")
    print(
        f"a convolution of 320 channels: {rates['float32']:.0f} GFLOP/s in float32, "
        f"{rates['bfloat16']:.0f} in bfloat16\n\n"
        "| network | batch | | step | images/s | peak memory | GFLOP/s | evaluation, images/s |\n"
        "|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    for size in options.only.split(","):
        batch = options.batch or (4 if size == "paper" else 16)
        for variant in options.variants.split(","):
            arguments = dict(
                size=size,
                batch=batch,
                dtype="mixed_bfloat16" if "bfloat16" in variant else "float32",
                remat="remat" in variant,
                jit_compile="xla" in variant,
                devices=2 if "2 devices" in variant else 1,
                steps=options.steps or (3 if size == "paper" else 10),
            )
            row = in_process("--measure=" + json.dumps(arguments))
            print(
                f"| {size} | {batch} | {variant} | {row['step']:.2f} s "
                f"({row['spread'][0]:.2f} to {row['spread'][1]:.2f}) | {batch / row['step']:.1f} | "
                f"{row['peak']:.2f} GiB | {row['flops'] / row['step'] / 1e9:.0f} | "
                f"{batch / row['evaluation']:.1f} |",
                flush=True,
            )
    print(f"\ninput pipeline alone: {row['pipeline']:,.0f} images/s (batch {batch})")


if __name__ == "__main__":
    main()
