"""Two checkouts of this project, the steps of both alternated.

    python benchmarks/compare_checkouts.py /work/old . --sizes=small,paper
    python benchmarks/compare_checkouts.py /work/old . --models=gated_pixelcnn,pixelcnn
    python benchmarks/compare_checkouts.py /work/old . --what=operations

Each checkout runs in a process of its own, which waits for its turn: so both meet the same load of
the machine, and neither runs while the other is timed. The batch is the same. For every
measurement: the median, the range and the minimum of the seconds of both, their CPU seconds (all
threads), and the ratio of the first to the second, above 1 where the second is faster. While other
programs run, only the minima and the CPU seconds mean something.

`training`: a step; `log_prob`: scores of a batch; `sampling`: one image by the cached sampler, of
which `first` is the first call, which traces; `operations`: the operations that the executor runs
in a training step, counted once; `memory`: the peak (resident) after what was run before it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

IMAGE_SHAPE = (32, 32, 3)
BATCH = 16
# model -> size -> fields of the configuration.
SIZES = {
    "pixelcnn_pp": {
        "small": dict(nr_resnet=2, nr_filters=32, nr_logistic_mix=10),
        "paper": dict(nr_resnet=5, nr_filters=160, nr_logistic_mix=10),
    },
    "gated_pixelcnn": {
        "small": dict(nr_resnet=8, nr_filters=48, num_head_filters=128),
        "paper": dict(nr_resnet=20, nr_filters=384, num_head_filters=1024),
    },
    "pixelcnn": {
        "small": dict(nr_resnet=10, nr_filters=48, num_head_filters=128),
        "paper": dict(nr_resnet=15, nr_filters=128, num_head_filters=1024),
    },
}


# In the process of a checkout.


def first_of(*paths):
    """The first "module:name" that there is: files have moved since."""
    import importlib

    for path in paths:
        module, name = path.split(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ModuleNotFoundError, AttributeError):
            continue
    raise ImportError(f"none of {paths}")


class Checkout:
    """What is measured, of the checkout that this process imports."""

    def __init__(self, checkout, model, size, batch, options):
        import numpy as np
        import tensorflow as tf

        import pixelcnn_tf

        here = os.path.realpath(pixelcnn_tf.__file__)
        assert here.startswith(os.path.realpath(checkout) + os.sep), f"{here}: not of {checkout}"
        Config = first_of(
            "train.config.config:Config", "train.config.fields:Config", "train.config:Config"
        )
        Trainer = first_of("train.training.trainer:Trainer", "train.training:Trainer")
        Dataset = first_of("train.data.dataset:Dataset", "train.data:Dataset")
        ArraySplit = first_of("train.data.splits:ArraySplit", "train.splits:ArraySplit")
        images = np.random.default_rng(0).integers(0, 256, [batch * 4, *IMAGE_SHAPE], np.uint8)
        split = ArraySplit(images)
        sizes = dict(SIZES[model][size])
        if "num_head_filters" in sizes and not hasattr(Config, "num_head_filters"):
            sizes["nr_output_filters"] = sizes.pop("num_head_filters")  # version 0.2
        config = Config(workdir="/nonexistent", model=model, batch_size=batch, **sizes, **options)
        strategy = tf.distribute.OneDeviceStrategy(
            "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
        )
        data = Dataset("random", IMAGE_SHAPE, 256, None, split, split)
        try:  # older versions take the configuration
            from train.run import Run

            config = Run(config, config.workdir, None)
        except ImportError:
            pass
        self.trainer = Trainer(config, data, strategy)
        self.batches = iter(
            strategy.experimental_distribute_dataset(split.epoch(0, batch, seed=1).repeat())
        )
        self.images = tf.constant(images[:batch], tf.float32) / 127.5 - 1.0
        self.model = self.trainer.averaged_model
        self.sample = first_of("pixelcnn_tf.sampling:sample")
        self.log_prob_function = tf.function(
            lambda images: self.model.likelihood.log_prob(images, self.model(images))
        )

    def training(self):
        return float(self.trainer.train_steps(self.batches, 1)[-1])

    def log_prob(self):
        return float(self.log_prob_function(self.images)[0, 0, 0])

    def sampling(self):
        return float(self.sample(self.model, 1, seed=1, jit_compile=False).numpy().sum())

    def operations(self):
        """Kinds and numbers of the operations run by one training step: TensorFlow's profiler."""
        import collections
        import glob
        import tempfile

        import tensorflow as tf
        from tensorflow.tsl.profiler.protobuf import xplane_pb2

        self.training()
        with tempfile.TemporaryDirectory() as folder:
            tf.profiler.experimental.start(folder)
            self.training()
            tf.profiler.experimental.stop()
            (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
            with open(path, "rb") as file:
                space = xplane_pb2.XSpace.FromString(file.read())
        kinds = collections.Counter()
        for plane in space.planes:
            if plane.name == "/host:CPU":
                for line in plane.lines:
                    for event in line.events:
                        # The executor calls an operation "name:Kind".
                        name = plane.event_metadata[event.metadata_id].name
                        before, colon, kind = name.rpartition(":")
                        if colon and before[-1:] not in ("", ":") and kind.isidentifier():
                            kinds[kind] += 1
        return kinds

    def memory(self):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def work(arguments):
    """Reads names of measurements from standard input, a line each, and answers in JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed
    checkout = Checkout(**json.loads(arguments))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        value = getattr(checkout, line.strip())()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps([value, wall, cpu]), file=answers, flush=True)


# In the process that compares.


class Process:
    """A checkout's process; `measure` lets it run one measurement."""

    def __init__(self, path, **arguments):
        path = os.path.abspath(path)
        command = [sys.executable, os.path.abspath(__file__), "--work"]
        command.append(json.dumps(arguments | {"checkout": path}))
        self.process = subprocess.Popen(
            command,
            cwd=path,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a process ended with {self.process.wait()}")
        return line

    def measure(self, name):
        print(name, file=self.process.stdin, flush=True)
        return json.loads(self.read())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def show(seconds):
    low, high = min(seconds), max(seconds)
    return f"{statistics.median(seconds):.3f} ({low:.3f} to {high:.3f})"


def compare(title, processes, name, repeats):
    """Prints a row: one measurement of both, alternated."""
    first = [process.measure(name) for process in processes]
    if name == "memory":
        return print(f"{title} memory: " + ", ".join(f"{value:.2f} GiB" for value, *_ in first))
    if name == "operations":
        old, new = (value for value, *_ in first)
        ratio = sum(new.values()) / sum(old.values())
        print(f"{title} operations: {sum(old.values())}, {sum(new.values())}, share {ratio:.2f}")
        kinds = sorted({**old, **new}, key=lambda kind: -max(old.get(kind, 0), new.get(kind, 0)))
        shown = [f"{kind} {old.get(kind, 0)} -> {new.get(kind, 0)}" for kind in kinds[:40]]
        return print("  " + ", ".join(shown), flush=True)
    times = [[], []]
    for process in processes:
        process.measure(name)
    for _ in range(repeats):
        for process, seconds in zip(processes, times, strict=True):
            seconds.append(process.measure(name)[1:])
    walls = [[wall for wall, _ in seconds] for seconds in times]
    cpus = [[cpu for _, cpu in seconds] for seconds in times]
    ratios = [f(walls[0]) / f(walls[1]) for f in (statistics.median, min)]
    ratios.append(min(cpus[0]) / min(cpus[1]))
    print(
        f"{title} {name}: {show(walls[0])} | {show(walls[1])} s; CPU {show(cpus[0])} | "
        f"{show(cpus[1])} s; first {first[0][1]:.1f} | {first[1][1]:.1f} s (CPU {first[0][2]:.1f} "
        f"| {first[1][2]:.1f}); ratio of medians {ratios[0]:.3f}, of minima {ratios[1]:.3f}, "
        f"of minimal CPU seconds {ratios[2]:.3f}",
        flush=True,
    )


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("checkouts", nargs="*", help="the two folders")
    options.add_argument("--sizes", default="small")
    options.add_argument("--models", default="pixelcnn_pp")
    options.add_argument("--what", default="training,log_prob,sampling,operations,memory")
    options.add_argument("--repeats", type=int, default=15)
    options.add_argument("--batch", type=int, default=BATCH)
    options.add_argument("--dtype", default="float32")
    options.add_argument("--remat", action="store_true")
    options.add_argument("--jit_compile", action="store_true")
    options.add_argument("--work", default="", help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.work:
        return work(options.work)
    if len(options.checkouts) != 2:
        raise SystemExit("give two checkouts")
    fields = dict(dtype=options.dtype, remat=options.remat, jit_compile=options.jit_compile)
    for model in options.models.split(","):
        for size in options.sizes.split(","):
            processes = [
                Process(path, model=model, size=size, batch=options.batch, options=fields)
                for path in options.checkouts
            ]
            for name in options.what.split(","):
                compare(f"{model} {size}", processes, name, options.repeats)
            for process in processes:
                process.end()


if __name__ == "__main__":
    main()
