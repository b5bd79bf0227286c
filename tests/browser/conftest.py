"""What the tests in a browser share: runs, a demo that is served, Chromium."""

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import time

import pytest
from small import SMALLEST_RUN, config_of, run_training

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_SECONDS = 180


def require(package):
    if importlib.util.find_spec(package) is None:
        pytest.fail(f"{package} is missing: pip install -e '.[browser]'", pytrace=False)


@pytest.fixture(scope="session")
def chromium():
    """A browser, driven by playwright; nothing is downloaded."""
    require("playwright")
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.fail(
            "no Chromium here: apt-get install chromium, or its path in the variable CHROMIUM",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Opens an address; gives the page, and the list of what it fetched or complained of."""
    with contextlib.ExitStack() as stack:

        def opened(address, dark=False, width=1100):
            context = chromium.new_context(
                color_scheme="dark" if dark else "light", viewport={"width": width, "height": 900}
            )
            stack.callback(context.close)
            page, noted = context.new_page(), {"fetched": [], "errors": []}
            page.on("request", lambda request: noted["fetched"].append(request.url))
            page.on("pageerror", lambda error: noted["errors"].append(str(error)))
            page.on(
                "console",
                lambda told: noted["errors"].append(told.text) if told.type == "error" else None,
            )
            page.goto(address)
            return page, noted

        yield opened


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """A few steps on the digits, class-conditional: as small as a run can be."""
    folder = tmp_path_factory.mktemp("digits")
    values = SMALLEST_RUN | dict(class_conditional=True, num_samples=0, log_interval=5)
    run_training(config_of(folder, values, max_steps=20, eval_interval=0, save_interval=0))
    return folder


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


@pytest.fixture(scope="session")
def demo(digits_run):
    served = Served(f"--workdir={digits_run}")
    yield served
    assert served.stop() == 0, "".join(served.lines)
