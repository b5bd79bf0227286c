"""Takes the screenshots of docs/guides/browser.md in Chromium: train.report and train.demo.

    python experiments/figures/screenshots.py --workdir=runs/digits-tiny

Needs the extra `browser`, and Chromium (Debian: apt-get install chromium), which is found on the
path or named by the variable CHROMIUM.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile

from absl import app, flags
from PIL import Image
from playwright.sync_api import sync_playwright

FLAGS = flags.FLAGS
flags.DEFINE_string("workdir", "runs/digits-tiny", "folder of the run")
flags.DEFINE_string("data_dir", "", "where tfds data sets are, if elsewhere than in training")
flags.DEFINE_string("output", "docs/images", "folder of the screenshots")

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE, NARROW = 1000, 390
TELEPHONE = 800  # pixels of height
GAP = 24  # between telephones
GREY = (150, 156, 165)  # behind them


def save(name, picture):
    """Writes a picture: the bytes of a PNG file, or an image of Pillow."""
    image = Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else picture
    path = os.path.join(FLAGS.output, name)
    image.convert("RGB").save(path, optimize=True)
    print(f"wrote {path}, {os.path.getsize(path):,} bytes", flush=True)


def take(browser, address, dark, width, height=TELEPHONE):
    context = browser.new_context(
        color_scheme="dark" if dark else "light", viewport={"width": width, "height": height}
    )
    page = context.new_page()
    page.goto(address)
    return page


def clip_of(page, first, last):
    """The part of a page from the top of one element to the bottom of another."""
    top, bottom = (page.locator(selector).first.bounding_box() for selector in (first, last))
    begin = max(0, top["y"] - 24)
    end = bottom["y"] + bottom["height"] + 24
    return {"x": 0, "y": begin, "width": page.viewport_size["width"], "height": end - begin}


def shoot_report(browser, address):
    for name, dark, first, last in (
        ("report_light.png", False, "h1", "#results"),
        ("report_dark.png", True, "#samples", "#calibration"),
    ):
        page = take(browser, address, dark, WIDE)
        save(name, page.screenshot(full_page=True, clip=clip_of(page, first, last)))
    pieces = []
    for dark, begin in ((False, "h1"), (False, "#curves"), (True, "#maps"), (True, "#histogram")):
        page = take(browser, address, dark, NARROW)
        top = page.locator(begin).first.bounding_box()["y"] - 16
        clip = {"x": 0, "y": max(0, top), "width": NARROW, "height": TELEPHONE}
        pieces.append(Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip))))
    row = Image.new("RGB", (len(pieces) * (NARROW + GAP) + GAP, TELEPHONE + 2 * GAP), GREY)
    for number, piece in enumerate(pieces):
        row.paste(piece, (GAP + number * (NARROW + GAP), GAP))
    save("report_narrow.png", row)


def shoot_demo(browser, address):
    page = take(browser, address, False, WIDE)
    page.wait_for_selector("canvas")
    page.get_by_role("button", name="lower half").click()
    page.get_by_role("button", name="Complete and score").click()
    page.wait_for_selector(".answer figure")
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)  # until the page is at rest
    save("demo.png", page.screenshot())


def main(_):
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        sys.exit("no Chromium here: apt-get install chromium, or its path in the variable CHROMIUM")
    run = [f"--workdir={FLAGS.workdir}", f"--data_dir={FLAGS.data_dir}"]
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = os.path.join(folder, "report.html")
        subprocess.run([sys.executable, "-m", "train.report", *run, f"--output={page}"], check=True)
        shoot_report(browser, f"file://{page}")
        demo = subprocess.Popen(
            [sys.executable, "-m", "train.demo", *run, "--port=0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            for line in demo.stdout:
                print(line, end="", flush=True)
                found = re.search(r"serving at (\S+)", line)
                if found:
                    shoot_demo(browser, found[1])
                    break
        finally:
            demo.terminate()
            demo.wait()
        browser.close()


if __name__ == "__main__":
    app.run(main)
