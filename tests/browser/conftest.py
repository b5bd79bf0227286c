"""What the tests in a browser share: runs, a demo that is served, Chromium."""

import contextlib
import os
import shutil

import pytest
from served_demo import Served, require
from small import SMALLEST_RUN, config_of, run_training

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


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


@pytest.fixture(scope="session")
def demo(digits_run):
    served = Served(f"--workdir={digits_run}")
    yield served
    assert served.stop() == 0, "".join(served.lines)
