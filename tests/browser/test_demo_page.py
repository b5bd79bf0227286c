"""`train.demo` in a browser, and under a load of valid and invalid requests."""

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from served_demo import Served, require
from small import random_run, run_program

from train.data.description import DataDescription
from train.demo.answers import COMPLETIONS
from train.demo.app import MAX_FILE, MAX_WAITING

# gradio's client leaves sockets to the garbage collection.
pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("default")]

REQUESTS, AT_ONCE, WARM = 50, 4, 10
MEMORY = 0.05  # share by which it may have grown since the tenth request
SECONDS = 2.0  # an answer for 28x28 images
SEEDS = ("0.5", "NaN", "null", '"x"', '"<b>x"', "Infinity", "-Infinity", "1e400", "-1", "[1]")


def is_sentence(text):
    """Whether it is a message for users, without a traceback, class or file of this machine."""
    return (
        len(text.split()) >= 4
        and "\n" not in text
        and not re.search(r"Traceback|Error\(|object at|/tmp|/home", text)
    )


def value_of(page):
    """The image on the canvas."""
    page.get_by_role("button", name="Complete and score").wait_for()
    return page.evaluate("document.querySelector('canvas').toDataURL()")


def wait_for_answer(page, number=COMPLETIONS):
    page.wait_for_function(f"document.querySelectorAll('.answer figure').length === {number}")


def test_erase_draw_and_complete(open_page, demo):
    page, noted = open_page(demo.address)
    page.wait_for_selector("canvas")
    before = value_of(page)
    page.get_by_role("button", name="Complete and score").click()
    wait_for_answer(page, 1)  # nothing is missing: the image itself
    scored = page.locator(".answer figcaption").all_inner_texts()
    page.get_by_role("button", name="lower half").click()
    assert value_of(page) != before
    page.get_by_role("button", name="Complete and score").click()
    wait_for_answer(page)
    assert page.get_by_label("Seed").input_value() == "3"
    captions = page.locator(".answer figcaption").all_inner_texts()
    assert len(set(captions)) > 1 and captions != scored
    assert all(re.fullmatch(r"\d\.\d{3} bits/dim", text) for text in captions)
    images = page.locator(".answer [role=img]").all()
    assert [each.get_attribute("aria-label").split(",")[0] for each in images] == [
        "Completion and its bits-per-pixel map"
    ] * COMPLETIONS
    # The erased half comes back, and a stroke changes the image.
    page.get_by_role("button", name="nothing").click()
    assert value_of(page) == before
    page.get_by_role("button", name="Draw").click()
    box = page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 20, steps=5)
    page.mouse.up()
    assert value_of(page) != before
    page.get_by_role("button", name="Complete and score").click()
    wait_for_answer(page, 1)
    assert page.locator(".answer figcaption").all_inner_texts() != scored
    drawn = value_of(page)
    page.get_by_role("button", name="Another image").click()
    page.wait_for_function("old => document.querySelector('canvas').toDataURL() !== old", arg=drawn)
    assert not noted["errors"]
    elsewhere = [u for u in noted["fetched"] if not u.startswith((demo.address, "data:", "blob:"))]
    assert elsewhere == []


def test_the_class_and_the_temperature_matter(open_page, demo):
    page, _ = open_page(demo.address)
    page.wait_for_selector("canvas")
    page.get_by_role("button", name="all", exact=True).click()
    seen = []
    for settings in ({}, {"Class": "7"}, {"Temperature": "0.2"}):
        page.get_by_label("Seed").fill("5")
        for name, value in settings.items():
            field = page.locator(f"input[type=number][aria-label*='{name}']")
            field.fill(value)
            field.press("Enter")
        page.get_by_role("button", name="Complete and score").click()
        page.wait_for_function("document.querySelector('input[aria-label=Seed]').value === '6'")
        wait_for_answer(page)
        seen.append(tuple(page.locator(".answer img").evaluate_all("all => all.map(i => i.src)")))
    assert len(set(seen)) == 3


def test_an_upload_and_a_text_file(open_page, demo, tmp_path):
    page, _ = open_page(demo.address)
    page.wait_for_selector("canvas")
    before = value_of(page)
    Image.new("RGB", (30, 20), (200, 100, 50)).save(tmp_path / "photo.png")
    page.locator("input[type=file]").set_input_files(str(tmp_path / "photo.png"))
    page.get_by_text("photo.png: cropped to its centre, converted to grey").wait_for()
    assert value_of(page) != before
    (tmp_path / "text.png").write_text("no image")
    page.locator("input[type=file]").set_input_files(str(tmp_path / "text.png"))
    page.get_by_text(re.compile("text.png: not a readable image")).first.wait_for()


@pytest.mark.parametrize("dark", [False, True])
def test_narrow_and_dark(open_page, demo, dark):
    page, _ = open_page(demo.address, dark, 390)
    page.wait_for_selector("canvas")
    page.get_by_role("button", name="right half").click()
    page.get_by_role("button", name="Complete and score").click()
    wait_for_answer(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 150) == dark


def test_a_port_that_is_taken_and_the_end(demo, digits_run):
    port = demo.address.rstrip("/").rpartition(":")[2]
    done = run_program("demo", f"--workdir={digits_run}", f"--port={port}")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: --port={port}: cannot serve at 127.0.0.1: Address already in use; --port=0 takes "
        "any free port\n"
    )


def request(demo, name, data):
    """The event and its data of a request whose JSON need not be valid Python."""
    import httpx

    address = f"{demo.address}gradio_api/call/{name}"
    headers = {"content-type": "application/json"}
    asked = httpx.post(address, content=f'{{"data": [{data}]}}', headers=headers)
    answer = httpx.get(f"{address}/{asked.json()['event_id']}", timeout=30).text
    event, content = re.match(r"event: (\w+)\ndata: (.*)\n", answer).groups()
    return event, json.loads(content)


@pytest.mark.parametrize("seed", SEEDS)
def test_invalid_seed_gets_one_message(demo, seed):
    canvas = json.dumps({"levels": [0] * 64, "known": [0] * 64})
    begin = time.monotonic()
    event, content = request(demo, "complete", f"{json.dumps(canvas)}, 1.0, 0, {seed}")
    assert event == "error" and content["error"].startswith("seed must be an integer from 0 to ")
    assert "<" not in content["error"] and time.monotonic() - begin < 5.0


def test_files_that_were_not_uploaded_are_not_read(demo, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "secret.png")
    file = {"path": str(tmp_path / "secret.png"), "meta": {"_type": "gradio.FileData"}}
    event, content = request(demo, "upload", f"{json.dumps(file)}, false")
    assert event == "error" and "not uploaded" in content["error"]
    assert (tmp_path / "secret.png").exists()


def test_a_full_queue_gets_a_message(demo):
    require("gradio_client")
    from gradio_client import Client

    client = Client(demo.address, verbose=False)
    canvas = json.dumps({"levels": [0] * 64, "known": [0] * 64})
    jobs = [client.submit(canvas, 1.0, 0, n, api_name="/complete") for n in range(3 * MAX_WAITING)]
    errors = [job.exception() for job in jobs]
    refused = [str(error) for error in errors if error is not None]
    assert refused and set(refused) == {"Queue is full! Please try again."}
    assert len(refused) < 2 * MAX_WAITING


def test_a_file_that_is_too_large_is_not_taken(demo):
    require("gradio_client")
    import httpx

    files = {"files": ("big.png", bytes(MAX_FILE + 1))}
    answer = httpx.post(f"{demo.address}gradio_api/upload", files=files)
    assert answer.status_code == 413
    assert answer.text == f"File size exceeded maximum allowed size of {MAX_FILE} bytes."


def files_to_upload(folder):
    """name -> path: a huge image, a text, a transparent and a plain image."""
    made = {name: str(folder / name) for name in ("huge.png", "text.png", "ghost.png", "good.png")}
    Image.new("RGB", (5000, 5000), (1, 2, 3)).save(made["huge.png"])
    with open(made["text.png"], "w") as file:
        file.write("This is not an image.\n" * 50)
    pixels = np.random.default_rng(0).integers(0, 256, [60, 60, 4], np.uint8)
    Image.fromarray(pixels).save(made["ghost.png"])
    Image.fromarray(pixels[..., 0]).save(made["good.png"])
    return made


def test_fifty_requests(mnist_like_run, tmp_path):
    """50 requests, 4 at a time, half of them invalid: each gets an answer or a message, and the
    memory in use does not grow after the tenth."""
    require("gradio_client")
    from gradio_client import Client, handle_file

    files = files_to_upload(tmp_path)
    served = Served(f"--workdir={mnist_like_run}")
    client = Client(served.address, verbose=False)
    size = 28 * 28
    mask = [1] * (size // 2) + [0] * (size // 2)
    canvas = json.dumps({"levels": [0] * size, "known": mask})
    asked = [
        lambda n: client.predict(canvas, 0.5 + n / 100, 0, n, api_name="/complete"),
        lambda n: client.predict(handle_file(files["huge.png"]), False, api_name="/upload"),
        lambda n: client.predict(canvas, 1.0, 0, n, api_name="/complete"),
        lambda n: client.predict(handle_file(files["text.png"]), False, api_name="/upload"),
        lambda n: client.predict(handle_file(files["good.png"]), True, api_name="/upload"),
        lambda n: client.predict(handle_file(files["ghost.png"]), False, api_name="/upload"),
        lambda n: client.predict(canvas, -1.0, 0, n, api_name="/complete"),
        lambda n: client.predict("[" * 5000, 1.0, 0, n, api_name="/complete"),
    ]
    answered, refused, memory, lock = [], [], [], threading.Lock()

    def ask(number):
        begin = time.monotonic()
        kind = number % len(asked)
        try:
            answered.append((kind, asked[kind](number), time.monotonic() - begin))
        except Exception as error:
            refused.append((kind, str(error)))
        with lock:
            memory.append(served.memory())

    # The first ten, in the same way; then the rest.
    for numbers in (range(WARM), range(WARM, REQUESTS)):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(ask, numbers))
    warm, end = memory[WARM - 1], served.memory()
    begin = time.monotonic()
    client.predict(canvas, 1.0, 0, 1, api_name="/complete")
    alone = time.monotonic() - begin
    assert served.stop() == 0
    print(
        f"\n{len(answered)} answered, {len(refused)} refused; memory after {WARM}: "
        f"{warm / 2**20:.0f} MiB, at the end {end / 2**20:.0f} MiB; an answer alone "
        f"{alone:.2f} s, of {AT_ONCE} at once at most {max(s for *_, s in answered):.2f} s"
    )
    for _, text in sorted(set(refused)):
        print(f"  refused: {text}")
    assert len(answered) + len(refused) == REQUESTS
    assert {kind for kind, *_ in answered} == {0, 2, 4, 5}
    assert {kind for kind, _ in refused} == {1, 3, 6, 7}
    assert all(is_sentence(text) for _, text in refused)
    for kind, result, _ in answered:
        if kind in (0, 2):
            assert result[0].count("<figure") == COMPLETIONS
        else:
            found = json.loads(result[0])
            assert len(found["levels"]) == size and all(found["known"])
    assert end < warm * (1 + MEMORY)
    assert alone < SECONDS


@pytest.fixture(scope="module")
def mnist_like_run(tmp_path_factory):
    """A run of the preset `tiny` on 28x28 images, with random weights."""
    folder = tmp_path_factory.mktemp("mnist_like")
    images = np.random.default_rng(0).integers(0, 256, [8, 28, 28, 1]).astype(np.uint8)
    np.savez(folder / "data.npz", x_train=images, x_test=images)
    data = DataDescription((28, 28, 1), 256, None)
    values = dict(config="tiny", dataset=str(folder / "data.npz"))
    return random_run(folder / "run", data, 1, values)
