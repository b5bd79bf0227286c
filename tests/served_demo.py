"""`train.demo` in a process of its own, for the tests in a browser."""

import importlib.util
import os
import re
import subprocess
import sys
import threading
import time

import pytest

START_SECONDS = 180


def require(package):
    if importlib.util.find_spec(package) is None:
        pytest.fail(f"{package} is missing: pip install -e '.[browser]'", pytrace=False)


class Served:
    """A demo in a process of its own."""

    def __init__(self, *flags):
        require("gradio")
        command = [sys.executable, "-m", "train.demo", "--port=0", *flags]
        environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "2"}
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.lines, self.address = [], None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        end = time.monotonic() + START_SECONDS
        while self.address is None:
            assert self.process.poll() is None and time.monotonic() < end, "".join(self.lines)
            time.sleep(0.1)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            found = re.search(r"serving at (\S+)", line)
            if found:
                self.address = found[1]

    def memory(self):
        """Bytes of memory that the process holds."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return 1024 * int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])

    def stop(self):
        """Ends it as Ctrl-C does; returns its exit code."""
        self.process.send_signal(2)
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self.reader.join()
            self.process.stdout.close()
