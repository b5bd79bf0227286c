"""Latency, throughput and memory of the signatures of an exported model.

    python benchmarks/serving.py                                   # all tables
    python benchmarks/serving.py --configs=small --batches=1,64 --repeats=20

Models with random weights (after the data-dependent initialisation) are exported and loaded as TF
Serving loads them, in a TensorFlow 1 session; a request is a call of that session, so the network
and the protocol are not in the times. Every signature is measured in a process of its own, whose
memory is resident memory. Needs the extra `serving` (the loader stands beside the tests).
"""

import argparse
import concurrent.futures
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [ROOT, os.path.join(ROOT, "tests")]

CONFIGS = {
    "tiny": dict(image_shape=(8, 8, 1), num_levels=17, nr_resnet=1, nr_filters=24),
    "small": dict(image_shape=(32, 32, 3), num_levels=256, nr_resnet=2, nr_filters=32),
}
SIGNATURES = ("score", "score_map", "sample", "complete")
THREADS = 2  # num_batch_threads of the batching_parameters.txt that train.export writes


def megabytes_now():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def megabytes_peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def export(config, folder):
    """Exports a model; returns the size of its files in MB."""
    import tensorflow as tf

    from pixelcnn_tf import PixelCNNPlusPlus
    from pixelcnn_tf.export import export_saved_model

    model = PixelCNNPlusPlus(nr_logistic_mix=5, **CONFIGS[config])
    model.initialize(tf.random.stateless_uniform([16, *model.image_shape], [1, 2], -1.0, 1.0))
    export_saved_model(model, folder)
    files = [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names]
    return sum(os.path.getsize(file) for file in files) / 1e6


def inputs_of(config, signature, batch):
    import numpy as np

    generator = np.random.default_rng(0)
    shape, num_levels = CONFIGS[config]["image_shape"], CONFIGS[config]["num_levels"]
    inputs = {"images": generator.integers(0, num_levels, [batch, *shape]).astype(np.uint8)}
    if signature == "complete":
        inputs["mask"] = np.zeros([batch, *shape[:2]], np.uint8)
        inputs["mask"][:, : shape[0] // 2] = 1
    if signature in ("sample", "complete"):
        inputs["seeds"] = generator.integers(0, 2**31, [batch, 2]).astype(np.int32)
    if signature == "sample":
        del inputs["images"]
    return inputs


def timed(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def measure(config, folder, signature, batches, repeats):
    """A row for each size of a request, one request after the other."""
    from serving_stand_in import SessionModel

    before = megabytes_now()
    model = SessionModel(folder)
    loaded = megabytes_now()
    rows, first = [], None
    for batch in batches:
        inputs = inputs_of(config, signature, batch)
        warm = timed(lambda inputs=inputs: model(signature, inputs))
        first = first or warm
        times = [timed(lambda inputs=inputs: model(signature, inputs)) for _ in range(repeats)]
        memory = [before, loaded, megabytes_peak()]
        rows.append(dict(batch=batch, first=first, times=times, memory=memory))
    return rows


def measure_beside(config, folder, samples, batch, repeats):
    """Latency of `score`, one image, while `samples` requests for `batch` samples are under way.

    "free": every request has a thread of its own. "pool": all share as many threads as the
    example settings of TF Serving give to batches.
    """
    from serving_stand_in import SessionModel

    model = SessionModel(folder)
    score, sample = inputs_of(config, "score", 1), inputs_of(config, "sample", batch)
    for name, inputs in (("score", score), ("sample", sample)):
        model(name, inputs)
    result = {}
    for kind, threads in (("free", samples + 1), ("pool", THREADS)):
        times = []
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            for _ in range(repeats):
                running = [pool.submit(model, "sample", sample) for _ in range(samples)]
                time.sleep(0.05)
                begin = time.perf_counter()
                pool.submit(model, "score", score).result()
                times.append(time.perf_counter() - begin)
                for request in running:
                    request.result()
        result[kind] = times
    return result


def in_process(function, **arguments):
    """Runs a function of this file in a process of its own."""
    call = json.dumps(dict(function=function, arguments=arguments))
    command = [sys.executable, os.path.abspath(__file__), f"--call={call}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def milliseconds(times):
    """Median and spread."""
    digits = 1 if statistics.median(times) < 0.1 else 0
    median, low, high = (1e3 * f(times) for f in (statistics.median, min, max))
    return f"{median:,.{digits}f} ms ({low:,.{digits}f} to {high:,.{digits}f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configs", default="tiny,small")
    parser.add_argument("--batches", default="1,16")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--held", type=int, default=64, help="samples of a long request")
    parser.add_argument("--call", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        call = json.loads(options.call)
        print(json.dumps(globals()[call["function"]](**call["arguments"])))
        return
    batches = [int(batch) for batch in options.batches.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        for config in options.configs.split(","):
            folder = os.path.join(temporary, config)
            size = in_process("export", config=config, folder=folder)
            print(f"\n{config}: {size:.1f} MB on disk, load average {os.getloadavg()[0]:.1f}\n")
            print("| signature | batch | latency | images/s | first request | peak memory |")
            print("|---|---|---|---|---|---|")
            common = dict(config=config, folder=folder, repeats=options.repeats)
            for signature in SIGNATURES:
                rows = in_process("measure", signature=signature, batches=batches, **common)
                for row in rows:
                    rate = row["batch"] / statistics.median(row["times"])
                    print(
                        f"| `{signature}` | {row['batch']} | {milliseconds(row['times'])} "
                        f"| {rate:,.0f} | {row['first']:.1f} s | {row['memory'][2]:,.0f} MB |",
                        flush=True,
                    )
            before, loaded, _ = rows[0]["memory"]
            print(f"\nPython and TensorFlow {before:,.0f} MB, with the model {loaded:,.0f} MB")
            print(
                f"\n| requests for {options.held} samples under way | `score`, a thread each "
                f"| `score`, {THREADS} threads for all |"
            )
            print("|---|---|---|")
            for samples in range(THREADS + 1):
                row = in_process("measure_beside", samples=samples, batch=options.held, **common)
                print(
                    f"| {samples} | {milliseconds(row['free'])} | {milliseconds(row['pool'])} |",
                    flush=True,
                )
            print(f"\nload average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
