"""Injects the faults of long runs into whole processes; ends with a table.

    python tests/faults/faults.py            # or: make faults
    python tests/faults/faults.py --only=kill,disk --kills=5

Each fault hits a tiny run on the built-in digits, on logical CPU devices; the network is cut to
one of its three resolutions, because runs are started about 80 times. Where root may mount one, the
full disk is a small tmpfs; elsewhere it is a limit on the size of files.
"""

import argparse
import contextlib
import glob
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

STOPPED, WORKER_LOST = 75, 69  # see train/errors.py
TIMEOUT = 600  # seconds that a process may take for anything
STEPS = 60
VALUES = dict(
    config="tiny",
    nr_filters=4,
    nr_logistic_mix=2,
    num_stages=1,
    batch_size=20,
    init_batch_size=20,
    max_steps=STEPS,
    log_interval=4,
    checkpoint_interval=1,
    eval_interval=0,
    save_interval=0,
    num_samples=0,
)


SHORT = dict(max_steps=20)  # for comparisons to rounding, which grows with the steps


class Fault(Exception):
    """What came out otherwise than it should."""


def require(condition, text):
    if not condition:
        raise Fault(text)


# --- the process that a fault hits -----------------------------------------------------------


def child(arguments):
    """Runs `train.main` with logical CPU devices and, perhaps, a planted fault."""
    options = argparse.ArgumentParser()
    options.add_argument("--devices", type=int, default=1)
    options.add_argument("--nan_at", type=int, default=0)
    options.add_argument("--nan_times", type=int, default=1)
    options.add_argument("--fill_at", type=int, default=0)
    options.add_argument("--fill_before_samples", action="store_true")
    options.add_argument("--file_limit", type=int, default=0)
    options, rest = options.parse_known_args(arguments)

    import tensorflow as tf

    from train import flags, main
    from train.command import run
    from train.training import loop
    from train.training.trainer import Trainer

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * options.devices,
    )
    original, planted = Trainer.train_steps, []

    def train_steps(self, batches, count):
        step = int(tf.convert_to_tensor(self.optimizer.iterations)) + 1
        if step == options.nan_at and len(planted) < options.nan_times:
            planted.append(step)
            variable = self.model.trainable_variables[0]
            with self.strategy.scope():
                variable.assign(variable * float("nan"))
        if step == options.fill_at:
            fill(self.config.workdir)
        return original(self, batches, count)

    def fill(workdir):
        if options.file_limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_limit,) * 2)
        else:
            fill_disk(workdir)

    def write_samples(model, num_samples, seed, path, **arguments):
        if options.fill_before_samples:
            fill(os.path.dirname(os.path.dirname(path)))
        return original_samples(model, num_samples, seed, path, **arguments)

    original_samples, loop.write_samples = loop.write_samples, write_samples
    Trainer.train_steps = train_steps
    sys.argv = [sys.argv[0], *rest]
    flags.define_config()
    run(main.main)


def fill_disk(workdir):
    """Leaves no room on the disk of the workdir."""
    with open(os.path.join(workdir, "filler"), "wb", buffering=0) as file:
        for size in (65536, 512):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"0" * size)


def start(workdir, *options, environment=None, **changes):
    """Starts the program; its output comes through a pipe."""
    values = VALUES | {"workdir": workdir} | changes
    command = [sys.executable, os.path.abspath(__file__), "child", *options]
    command += [f"--{name}={value}" for name, value in values.items()]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"} | (environment or {})
    environment["PYTHONPATH"] = ROOT
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=ROOT,
    )


def finish(process, code=0):
    """Waits for the end; returns the output. Raises Fault for another exit code than `code`."""
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Fault(f"no end within {TIMEOUT} s") from None
    require(
        process.returncode == code,
        f"exit code {process.returncode} instead of {code}: {output[-600:]}",
    )
    return output


def wait_for(process, text):
    for line in process.stdout:
        if text in line:
            return line
    raise Fault(f"ended (code {process.wait()}) without {text!r}")


def newest(workdir):
    names = glob.glob(os.path.join(workdir, "checkpoints", "step-*.index"))
    return max((int(name.split("-")[-1].split(".")[0]) for name in names), default=-1)


def wait_for_checkpoint(process, workdir, step):
    begin = time.monotonic()
    while newest(workdir) < step:
        require(process.poll() is None, f"ended before step {step}")
        require(time.monotonic() - begin < TIMEOUT, f"no checkpoint of step {step}")
        time.sleep(0.005)


# --- what a run left ---------------------------------------------------------------------------


def state(workdir):
    import tensorflow as tf

    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(workdir + "/checkpoints"))
    names = [n for n in reader.get_variable_to_shape_map() if n.endswith("VARIABLE_VALUE")]
    return {name: reader.get_tensor(name) for name in names}


def difference(workdir, other):
    """Largest difference of a value, relative to the largest of its variable."""
    import numpy as np

    mine, theirs = state(workdir), state(other)
    require(mine.keys() == theirs.keys(), "the checkpoints hold different variables")
    return max(
        float(np.max(np.abs(mine[name] - value)) / max(np.max(np.abs(value)), 1e-12))
        for name, value in theirs.items()
    )


def rows(workdir):
    with open(workdir + "/metrics.jsonl") as file:
        return [json.loads(line) for line in file]


def same_rows(workdir, other, exact=True):
    """Same steps, each once; the same numbers too (speed apart)."""
    mine, theirs = rows(workdir), rows(other)
    require([r["step"] for r in mine] == [r["step"] for r in theirs], "rows missing or twice")
    for a, b in zip(mine, theirs, strict=True):
        for key in a.keys() - {"images_per_sec"}:
            close = abs(a[key] - b[key]) <= (0 if exact else 1e-4 * abs(b[key]))
            require(close, f"metrics.jsonl, step {a['step']}: {key} {a[key]} against {b[key]}")


def exactly(workdir, other):
    worst = difference(workdir, other)
    require(worst == 0.0, f"weights differ by {worst:.1e}")
    same_rows(workdir, other)
    return "equal to the last bit, and the log rows"


def to_rounding(workdir, other):
    worst = difference(workdir, other)
    require(worst <= 1e-4, f"weights differ by {worst:.1e}")
    same_rows(workdir, other, exact=False)
    return f"equal to {worst:.1e}, same log rows"


# --- the faults ----------------------------------------------------------------------------------


class Faults:
    def __init__(self, folder, kills):
        self.folder = folder
        self.kills = kills
        self.random = random.Random(1)
        self.runs = {}

    def path(self, name):
        return os.path.join(self.folder, name)

    def undisturbed(self, *options, **changes):
        """The folder of a run that nothing happened to; made once for each set of flags."""
        key = json.dumps([options, changes], sort_keys=True)
        if key not in self.runs:
            workdir = self.path(f"undisturbed{len(self.runs)}")
            finish(start(workdir, *options, **changes))
            self.runs[key] = workdir
        return self.runs[key]

    def copy(self, name, **changes):
        workdir = self.path(name)
        shutil.copytree(self.undisturbed(**changes), workdir)
        return workdir

    def stop_by(self, number):
        workdir = self.path(f"stop{number}")
        process = start(workdir)
        wait_for(process, "step 8/")
        process.send_signal(number)
        output = finish(process, STOPPED)
        require("is saved; the same command goes on" in output, f"no message: {output[-300:]}")
        step = newest(workdir)
        finish(start(workdir))
        return f"exit {STOPPED} after step {step}; gone on: {exactly(workdir, self.undisturbed())}"

    def sigterm(self):
        return self.stop_by(signal.SIGTERM)

    def sigint(self):
        return self.stop_by(signal.SIGINT)

    def second_signal(self):
        workdir = self.path("second")
        process = start(workdir)
        wait_for(process, "step 8/")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        process.communicate(timeout=TIMEOUT)
        # It may have finished its step between the two.
        require(
            process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT, STOPPED),
            f"exit code {process.returncode}",
        )
        return f"exit {process.returncode} after {time.monotonic() - begin:.1f} s"

    def kill_often(self, name, kills, *options, **changes):
        """Kills a run again and again, then lets it finish; returns how often it was writing."""
        workdir, while_writing = self.path(name), 0
        for kill in range(kills):
            process = start(workdir, *options, **changes)
            if kill % 7 == 3:  # while it starts
                time.sleep(self.random.uniform(1, 15))
            else:
                step = max(newest(workdir), 0) + self.random.randint(1, 3)
                try:
                    wait_for_checkpoint(process, workdir, step)
                except Fault:
                    require(process.poll() == 0, "ended with a failure")
                if kill % 2:  # the moment that a checkpoint is begun
                    until = time.monotonic() + 5
                    pattern = os.path.join(workdir, "checkpoints", "*_temp*")
                    while not glob.glob(pattern) and time.monotonic() < until:
                        pass
                    time.sleep(self.random.uniform(0, 0.01))
                else:
                    time.sleep(self.random.uniform(0, 0.3))
            process.kill()
            process.communicate()
            left = glob.glob(os.path.join(workdir, "checkpoints", "*_temp*"))
            data = glob.glob(os.path.join(workdir, "checkpoints", "*.data-*"))
            unfinished = [d for d in data if not os.path.exists(d.split(".data")[0] + ".index")]
            # One that is killed as it starts may find what the kill before it left.
            while_writing += bool(left or unfinished) and kill % 7 != 3
        finish(start(workdir, *options, **changes))
        return workdir, while_writing

    def kill(self):
        workdir, writing = self.kill_often("killed", self.kills)
        result = exactly(workdir, self.undisturbed())
        return f"{self.kills} kills, {writing} while a checkpoint was written: {result}"

    def kill_replicas(self):
        changes = dict(strategy="mirrored", batch_size=10, **SHORT)
        workdir, _ = self.kill_often("killed2", 3, "--devices=2", **changes)
        return f"3 kills on 2 devices: {to_rounding(workdir, self.undisturbed(**SHORT))}"

    def workers(self, workdir, **changes):
        ports = []
        for _ in range(2):
            with socket.socket() as probe:
                probe.bind(("localhost", 0))
                ports.append(probe.getsockname()[1])
        cluster = {"worker": [f"localhost:{port}" for port in ports]}
        tasks = [{"type": "worker", "index": index} for index in range(2)]
        configs = [json.dumps({"cluster": cluster, "task": task}) for task in tasks]
        return [
            start(workdir, environment={"TF_CONFIG": text}, batch_size=10, **changes)
            for text in configs
        ]

    def lose_worker(self, victim):
        workdir = self.path(f"worker{victim}")
        processes = self.workers(workdir, **SHORT)
        wait_for_checkpoint(processes[0], workdir, 5)
        processes[victim].kill()
        begin = time.monotonic()
        output = finish(processes[1 - victim], WORKER_LOST)
        seconds = time.monotonic() - begin
        require(seconds < 60, f"the other took {seconds:.0f} s")
        require("start all workers again" in output, f"no message: {output[-500:]}")
        processes[victim].communicate()
        step = newest(workdir)
        for process in self.workers(workdir, **SHORT):
            finish(process)
        result = to_rounding(workdir, self.undisturbed(**SHORT))
        return (
            f"the other: exit {WORKER_LOST} after {seconds:.0f} s; again from step {step}: {result}"
        )

    def worker(self):
        return self.lose_worker(1)

    def chief(self):
        return self.lose_worker(0)

    def stop_workers(self):
        workdir = self.path("stop_workers")
        processes = self.workers(workdir, **SHORT)
        wait_for_checkpoint(processes[0], workdir, 5)
        processes[1].send_signal(signal.SIGTERM)
        for process in processes:
            finish(process, STOPPED)
        step = newest(workdir)
        for process in self.workers(workdir, **SHORT):
            finish(process)
        result = to_rounding(workdir, self.undisturbed(**SHORT))
        return f"both exit {STOPPED} after step {step}; gone on: {result}"

    @contextlib.contextmanager
    def small_disk(self, name, megabytes):
        """A folder on a disk of its own, or None where that cannot be had."""
        folder = self.path(name)
        os.makedirs(folder)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
        mounted = os.geteuid() == 0 and not subprocess.run(mount, capture_output=True).returncode
        try:
            yield folder if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", folder], check=True)

    def full_disk(self, what, limit, when, **changes):
        """A run whose disk is full from then on; later there is room again."""
        with self.small_disk(f"disk_{what}", 40) as disk:
            workdir = os.path.join(disk, "run") if disk else self.path(f"run_{what}")
            # The sampler is made for the whole network.
            changes["num_stages"] = 3 if changes.get("num_samples") else 1
            options = [when]
            if not disk:
                options.append(f"--file_limit={limit}")
            output = finish(start(workdir, *options, **changes), 2)
            lines = [line for line in output.splitlines() if line.startswith("error: ")]
            require(len(lines) == 1 and "Traceback" not in output, f"no clear error: {output}")
            require(what in lines[0], f"the error is of something else: {lines[0]}")
            kept = newest(workdir)
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(workdir, "filler"))
            finish(start(workdir, **changes))
            result = exactly(workdir, self.undisturbed(**changes))
        how = "tmpfs" if disk else "file limit"
        return f"({how}) one error, step {kept} kept; with room again: {result}"

    def disk_checkpoint(self):
        changes = dict(log_interval=100, checkpoint_interval=3)
        return self.full_disk("checkpoint", 20_000, "--fill_at=10", **changes)

    def disk_sample(self):
        changes = dict(num_samples=100, max_steps=12, log_interval=100, checkpoint_interval=5)
        return self.full_disk("samples", 1_500, "--fill_before_samples", **changes)

    def disk_log(self):
        # A row may still fit into the last block of its file: many rows, few checkpoints.
        changes = dict(log_interval=1, checkpoint_interval=30)
        return self.full_disk("metrics.jsonl", 3_000, "--fill_at=31", **changes)

    def damaged(self, name, damage, text):
        workdir = self.copy(name)
        damage(os.path.join(workdir, "checkpoints", f"step-{STEPS}"))
        output = finish(start(workdir))
        require(text in output, f"not reported: {output[-500:]}")
        require(f"resuming at step {STEPS - 1}" in output, "not the one before")
        return f"reported; from step {STEPS - 1}: {exactly(workdir, self.undisturbed())}"

    def truncated(self):
        def damage(path):
            path += ".data-00000-of-00001"
            os.truncate(path, os.path.getsize(path) // 2)

        return self.damaged("truncated", damage, "cannot be read")

    def no_shard(self):
        def damage(path):
            os.remove(path + ".data-00000-of-00001")

        return self.damaged("no_shard", damage, "cannot be read")

    def no_index(self):
        def damage(path):
            os.remove(path + ".index")

        return self.damaged("no_index", damage, "is not whole")

    def half_line(self):
        workdir = self.copy("half_line")
        for path in glob.glob(f"{workdir}/checkpoints/step-{STEPS}.*"):
            os.remove(path)
        with open(workdir + "/metrics.jsonl", "a") as file:
            file.write('{"step": 60, "train/bits_p')
        finish(start(workdir))
        return exactly(workdir, self.undisturbed())

    def nan_stop(self, *options, **changes):
        workdir = self.path("nan_stop" + "".join(options))
        output = finish(start(workdir, "--nan_at=9", *options, **changes), 2)
        require("the loss is nan at step 9" in output, f"not reported: {output[-500:]}")
        require(newest(workdir) == 8, f"the newest checkpoint is that of step {newest(workdir)}")
        finish(start(workdir, *options, **changes))
        return workdir

    def nan(self):
        result = exactly(self.nan_stop(), self.undisturbed())
        return f"exit 2 at step 9, step 8 kept; again without it: {result}"

    def nan_replicas(self):
        workdir = self.nan_stop("--devices=2", strategy="mirrored", batch_size=10, **SHORT)
        result = to_rounding(workdir, self.undisturbed(**SHORT))
        return f"exit 2 at step 9, step 8 kept; again without it: {result}"

    def nan_restore(self):
        changes = dict(on_nan="restore", checkpoint_interval=5)
        options = ("--nan_at=14", "--nan_times=2")
        first, second = self.path("restore"), self.path("restore_killed")
        finish(start(first, *options, **changes))
        with open(first + "/restarts.json") as file:
            require(json.load(file) == [10, 10], "restarts.json is not [10, 10]")
        steps = [row["step"] for row in rows(first) if "learning_rate" in row]
        require(steps == list(range(4, STEPS + 1, 4)), "rows missing or twice")
        require(difference(first, self.undisturbed()) > 1e-3, "the order is the old one")
        # The new order is a function of what is stored: killed after the restart, the same.
        process = start(second, *options, **changes)
        wait_for_checkpoint(process, second, 20)
        process.kill()
        process.communicate()
        finish(start(second, **changes))
        return f"twice back from 14 to 10; again, and killed after it: {exactly(second, first)}"

    def nan_three_times(self):
        workdir = self.path("nan4")
        options = ("--nan_at=9", "--nan_times=4")
        output = finish(start(workdir, *options, on_nan="restore"), 2)
        require("has gone back 3 times" in output, f"not reported: {output[-500:]}")
        return "exit 2 after going back 3 times"

    def replicas(self):
        workdir = self.path("replicas")
        mirrored = dict(strategy="mirrored", batch_size=10, **SHORT)
        for step, options, changes in ((8, (), SHORT), (14, ("--devices=2",), mirrored)):
            process = start(workdir, *options, **changes)
            wait_for_checkpoint(process, workdir, step)
            process.kill()
            process.communicate()
        output = finish(start(workdir, "--devices=2", strategy="mirrored", **SHORT), 2)
        require("use --batch_size=10" in output, f"another batch is not refused: {output[-300:]}")
        finish(start(workdir, **SHORT))
        result = to_rounding(workdir, self.undisturbed(**SHORT))
        return f"1, 2, 1 devices: {result}; another global batch refused"


TRIED = {
    "sigterm": "SIGTERM",
    "sigint": "SIGINT",
    "second_signal": "a second signal",
    "kill": "kill -9, one device",
    "kill_replicas": "kill -9, several replicas",
    "worker": "one of two workers killed",
    "chief": "the chief of two workers killed",
    "stop_workers": "SIGTERM to one of two workers",
    "disk_checkpoint": "disk full: checkpoint",
    "disk_sample": "disk full: sample",
    "disk_log": "disk full: log",
    "truncated": "newest checkpoint truncated",
    "no_shard": "newest checkpoint without its shard",
    "no_index": "newest checkpoint without its index",
    "half_line": "half a line in metrics.jsonl",
    "nan": "NaN, stop, one device",
    "nan_replicas": "NaN, stop, two replicas",
    "nan_restore": "NaN, restore",
    "nan_three_times": "NaN, restore, again and again",
    "replicas": "another number of replicas",
}


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--only", default="", help="names, or beginnings of names, with commas")
    options.add_argument("--kills", type=int, default=20)
    options = options.parse_args()
    wanted = [name for name in options.only.split(",") if name]
    table = []
    with tempfile.TemporaryDirectory() as folder:
        faults = Faults(folder, options.kills)
        for name, title in TRIED.items():
            if wanted and not any(name.startswith(part) for part in wanted):
                continue
            begin = time.monotonic()
            try:
                passed, result = "ok", getattr(faults, name)()
            except (Fault, OSError, subprocess.SubprocessError) as error:
                passed, result = "FAILED", str(error).replace("\n", " ")[-1000:]
            seconds = time.monotonic() - begin
            table.append((title, passed, f"{seconds:.0f} s", result))
            print(f"{title}: {passed}, {result} ({seconds:.0f} s)", flush=True)
    print("\n| fault | | time | what happened |\n|---|---|---|---|")
    for row in table:
        print(f"| {' | '.join(row)} |")
    return int(any(row[1] != "ok" for row in table))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2:])
    else:
        sys.exit(main())
