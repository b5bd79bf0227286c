"""`train.report`: the contents of its page, and invalid flags."""

import base64
import html.parser
import io
import json
import math
import os
import re
import shutil

import numpy as np
import pytest
from calls import call, refusal
from PIL import Image
from small import load_run, random_run, write_config

import train.report.__main__ as report_command
import train.report.gather
from pixelcnn_tf.levels import levels_to_input
from train.data.description import DataDescription
from train.data.load import load
from train.progress import Counter
from train.report import charts
from train.run import Run

DIGITS = DataDescription((8, 8, 1), 17, 10)
ROWS = [
    {"step": 50, "train/bits_per_dim": 3.0, "images_per_sec": 10.0},
    {"step": 60, "test/bits_per_dim": 2.75, "test/bits_per_dim_raw": 2.9},
    {"step": 60, "test/loss_per_image": 122.0, "train/bits_per_dim": math.nan},
    {"step": 100, "train/bits_per_dim": 2.5, "images_per_sec": 20.0},
]
QUICK = ("--num_images=12", "--num_samples=0")
NOTHING = ("--num_images=0", "--num_samples=0")


class Page(html.parser.HTMLParser):
    """What a browser would show: every element, all images, the text."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.words = [], []
        with open(path, encoding="utf-8") as file:
            self.source = file.read()
        self.feed(self.source)
        self.text = " ".join(self.words)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        if data.strip() and self.elements[-1][0] not in ("style", "title"):
            self.words.append(" ".join(data.split()))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def sections(self):
        return [each["id"] for each in self.all("section")]

    def charts(self):
        """The descriptions of all charts."""
        return [each["alt"] for each in self.all("img") if each.get("class") == "chart"]

    def labels(self):
        """The descriptions of all groups of images."""
        return [each["aria-label"] for each in self.all("div") if each.get("role") == "img"]

    def group(self, label):
        """The pixels of the images in the group whose description begins like this."""
        found, inside = [], False
        for tag, attributes in self.elements:
            if tag in ("div", "section", "figure"):
                inside = attributes.get("aria-label", "").startswith(label)
            if tag == "img" and inside:
                kind, _, content = attributes["src"].partition(",")
                assert kind == "data:image/png;base64"
                found.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))))
        return found


def with_rows(workdir, rows=ROWS):
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return workdir


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def run(folder):
    """A run on the digits, in a folder whose name is to be escaped."""
    return with_rows(random_run(folder / '<b>&amp;"run"', DIGITS, seed=1))


@pytest.fixture(scope="module")
def conditional(folder):
    return random_run(folder / "conditional", DIGITS, seed=2, class_conditional=True)


@pytest.fixture(scope="module")
def whole(run, folder):
    """The page with everything."""
    flags = [f"--workdir={run}", f"--output={folder}/whole.html"]
    text = call(report_command, *flags, "--num_images=20", "--num_samples=3")
    assert text.splitlines()[-1].startswith(f"wrote {folder}/whole.html, ")
    assert sorted(os.listdir(run)) == ["checkpoints", "config.json", "metrics.jsonl"]
    return Page(folder / "whole.html")


def test_the_page_needs_nothing_from_elsewhere(whole):
    anchors = {f"#{section}" for section in whole.sections()}
    for tag, attributes in whole.elements:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            value = attributes.get(name)
            assert value is None or value in anchors or value.startswith("data:image/")
    assert not re.search(r"url\(|@import|https?:", whole.source.split("</style>")[0])
    policy = next(each for each in whole.all("meta") if "http-equiv" in each)
    assert policy["content"].startswith("default-src 'none'; img-src data:")


def test_the_page_has_every_section_and_describes_every_image(whole):
    assert whole.sections() == [
        "training",
        "curves",
        "results",
        "samples",
        "completions",
        "maps",
        "extremes",
        "histogram",
        "calibration",
        "field",
    ]
    assert [each["href"] for each in whole.all("a")] == [f"#{s}" for s in whole.sections()]
    described = whole.charts()
    assert len(described) == 4 and all(len(alt) > 20 for alt in described)
    # Samples, completions, maps: images are described in groups; the legend of the maps; the field.
    assert len(whole.labels()) == 1 + 1 + 6 + 12 and all(map(len, whole.labels()))
    alone = [each["alt"] for each in whole.all("img") if each["alt"]]
    assert len(alone) == 4 + 1 and len(whole.all("img")) == 5 + 3 + 4 * 6 + 2 * 18
    assert whole.all("html")[0]["lang"] == "en"
    assert "prefers-color-scheme: dark" in whole.source and "width=device-width" in whole.source


def test_names_are_escaped(whole):
    assert '<b>&amp;"run"' in whole.text and not whole.all("b")
    assert whole.source.count("<title>&lt;b&gt;&amp;amp;&#34;run&#34;: pixelcnn_tf</title>") == 1


def test_numbers_of_the_run(whole, run):
    images = load("digits").eval.images[:20]
    nats = load_run(str(run))[2].log_prob(levels_to_input(images, 17)).numpy()
    bits = -nats / (64 * math.log(2))
    assert f"mean {bits.mean():.3f}" in whole.text
    order = np.argsort(bits)
    shown = re.findall(r"([\d.]+) bits/dim test/(\d+)", whole.text)
    assert [int(number) for _, number in shown] == [*range(6), *order[:6], *order[:-7:-1]]
    for score, number in shown:
        assert float(score) == pytest.approx(bits[int(number)], abs=6e-4)
    # 50 steps of 32 images at 10 a second, 50 at 20: 160 s and 80 s.
    assert "bits/dim, test 2.7500" in whole.text and "training time 4m 0s" in whole.text
    assert "2.7500 step 60, all 300 images" in whole.text
    alts = whole.charts()
    assert "train, with dropout from 3.000 at 50 to 2.500 at 100" in alts[0]
    assert "test, averaged weights 2.750 at 0.0489" in alts[1]
    versions = Run.open(str(run)).saved.versions
    assert f"Last started with python {versions['python']}," in whole.text
    assert "--config=tiny \\ --model=gated_pixelcnn" in whole.text


def test_images_of_the_page(whole):
    images = load("digits").eval.images[:6, ..., 0]
    shown = np.round(images * 255.0 / 16)
    assert [pixels.shape for pixels in whole.group("3 samples of <b>")] == [(8, 8, 3)] * 3
    rows = np.stack(whole.group("4 test images, their upper halves and their completions by"))
    rows = rows.reshape(4, 6, 8, 8, 3)
    np.testing.assert_array_equal(rows[:, 0, ..., 0], shown[:4])
    for column in range(1, 6):
        np.testing.assert_array_equal(rows[:, column, :4], rows[:, 0, :4])
    assert (rows[:, 1, 4:] == charts.NOT_GIVEN).all()
    image, bits = whole.group("test/2 and its bits-per-pixel map")[:2]
    np.testing.assert_array_equal(image[..., 0], shown[2])
    assert bits.shape == (8, 8, 3)


def test_runs_of_the_same_data_share_a_chart(run, conditional, tmp_path):
    with_rows(conditional, [{"step": 100, "test/bits_per_dim": 2.25}])
    flags = [f"--workdir={run}", f"--compare={conditional}", f"--output={tmp_path}/"]
    call(report_command, *flags, *QUICK)
    page = Page(tmp_path / "report.html")
    described = page.charts()
    assert len(described) == 2 + 2 + 2  # curve; histograms and calibrations, one a run
    assert "conditional: test, averaged weights 2.250" in described[0]
    assert '<b>&amp;"run": test, averaged weights 2.750' in described[0]
    assert "cannot be compared" not in page.text and "Not available" not in page.text
    assert page.text.index("2.7500 step 60") < page.text.index("2.2500 step 100")
    row = re.search(r'<tr class="differs"><td>class_conditional</td>(.*?)</tr>', page.source)
    assert re.findall("False|True", row[1]) == ["False", "True"]


def test_any_number_of_runs(run, conditional, tmp_path):
    """Colours cycle; runs of the same name are named by their paths."""
    count = len(charts.COLOURS) + 2
    folders = [tmp_path / f"{number}" / "run" for number in range(count - 2)]
    for folder in folders:
        shutil.copytree(conditional, folder)
    compared = ",".join(map(str, [conditional, *folders]))
    call(report_command, f"--workdir={run}", f"--compare={compared}", *NOTHING)
    page = Page(run / "report.html")
    os.remove(run / "report.html")
    badges = [each["style"] for each in page.all("span") if each.get("class") == "badge"]
    colours = [style.removeprefix("background: ") for style in badges[:count]]
    assert colours == [charts.colour(number) for number in range(count)]
    assert colours[0] == colours[-2] and len(set(colours)) == len(charts.COLOURS)
    assert all(str(folder) in page.text for folder in folders)


def test_progress_counts_rows_and_images(run, tmp_path, monkeypatch):
    """`sampled 12 of 8 rows` is wrong."""
    counters = []

    class Recorded(Counter):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            counters.append(self)

    monkeypatch.setattr(train.report.gather, "Counter", Recorded)
    for samples in (3, 16, 20):  # completions are sampled in batches of as many
        output = f"--output={tmp_path}/page.html"
        flags = [f"--workdir={run}", output, f"--num_samples={samples}", "--num_images=20"]
        call(report_command, *flags)
        scored, sampled = counters[-2:]
        assert scored.done == scored.total == 20
        assert sampled.done == sampled.total > 0


def test_runs_of_different_data_have_their_own_charts(run, tmp_path):
    data = DataDescription((6, 5, 3), 4, None)
    images = np.random.default_rng(0).integers(0, 256, [40, 6, 5, 3]).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x_train=images, x_test=images)
    changes = dict(dataset=str(tmp_path / "data.npz"), quantize=4)
    other = random_run(tmp_path / "other", data, seed=3, **changes)
    with_rows(other)
    output = tmp_path / "page.html"
    call(report_command, f"--workdir={run}", f"--compare={other}", f"--output={output}", *QUICK)
    page = Page(output)
    assert "cannot be compared" in page.text
    described = page.charts()
    assert len(described) == 4 + 2 + 2  # of each run the curves
    assert "colour images of 6 x 5 pixels, 4 levels" in page.text


def test_conditional_scores_are_not_compared(run, tmp_path):
    other = random_run(tmp_path / "other", DIGITS, seed=1, condition="small:2")
    with_rows(other)
    output = tmp_path / "page.html"
    call(report_command, f"--workdir={run}", f"--compare={other}", f"--output={output}", *NOTHING)
    assert "cannot be compared" in Page(output).text


def test_without_images_no_data_set_is_needed(tmp_path):
    run = random_run(tmp_path / "run", DIGITS, seed=1, dataset="folder:/gone")
    call(report_command, f"--workdir={run}", *NOTHING)
    page = Page(run / "report.html")
    assert page.sections() == ["training"] and "raw weights" not in page.text
    call(report_command, f"--workdir={run}", *NOTHING, "--averaged=false")
    assert "are of the raw weights" in Page(run / "report.html").text
    assert "--dataset=folder:/gone" in refusal(report_command, f"--workdir={run}")


def test_scores_of_the_raw_weights(tmp_path):
    run = random_run(tmp_path / "run", DIGITS, seed=1, dataset="folder:/gone")
    row = {"step": 0, "test/bits_per_dim": 2.25, "test/loss_per_image": 90.25}
    with_rows(run, [row | {"test/bits_per_dim_raw": 2.5, "test/loss_per_image_raw": 90.5}])
    averaged, raw = ("2.2500", "90.25"), ("2.5000", "90.50")
    for flag, shown, others in (("true", averaged, raw), ("false", raw, averaged)):
        call(report_command, f"--workdir={run}", *NOTHING, f"--averaged={flag}")
        text = Page(run / "report.html").text
        assert all(score in text for score in shown)
        assert not any(score in text for score in others)


def test_a_run_without_a_likelihood(tmp_path):
    values = dict(config="tiny", nr_filters=4, energy_distance=True, num_stages=1)
    run = random_run(tmp_path / "run", DIGITS, 1, values)
    with_rows(run, [{"step": 3, "test/energy_distance": 5.5}])
    call(report_command, f"--workdir={run}", *QUICK)
    page = Page(run / "report.html")
    assert page.sections() == ["training", "curves"]
    assert "energy distance, test 5.5000" in page.text


def test_a_run_that_draws_no_images(tmp_path):
    values = dict(model="vq_vae", config="tiny", nr_filters=4, num_embeddings=4, embedding_dim=2)
    run = random_run(tmp_path / "run", DIGITS, 1, values)
    with_rows(run, [{"step": 3, "test/mse": 0.25}])
    call(report_command, f"--workdir={run}", "--num_images=12", "--num_samples=4")
    assert Page(run / "report.html").sections() == ["training", "curves"]


def test_samples_of_a_conditional_run(tmp_path):
    """They are conditioned on test images; without these there are none."""
    run = random_run(tmp_path / "run", DIGITS, 1, condition="small:2")
    call(report_command, f"--workdir={run}", "--num_images=4", "--num_samples=4")
    assert {"samples", "completions"} < set(Page(run / "report.html").sections())
    call(report_command, f"--workdir={run}", "--num_images=0", "--num_samples=4")
    assert Page(run / "report.html").sections() == ["training"]


def test_report_rejects_invalid_flags(run, conditional, folder, tmp_path):
    def message(*flags):
        return refusal(report_command, f"--workdir={run}", *flags)

    assert "--workdir is missing" in refusal(report_command)
    gone = refusal(report_command, f"--workdir={tmp_path}")
    assert gone == f"--workdir={tmp_path}: no run here (config.json is missing)"
    assert message(f"--compare={conditional},{tmp_path}").startswith(
        f"--compare={tmp_path}: no run"
    )
    assert "the run is already there" in message(f"--compare={run}/../{run.name}")
    assert "--num_images=-1" in message("--num_images=-1")
    assert "--seed=-1" in message("--seed=-1")
    assert "--num_samples=99999999: needs" in message("--num_samples=99999999", "--num_images=0")
    for output in (f"{tmp_path}/report.pdf", f"{tmp_path}/report"):
        assert (
            message(f"--output={output}") == f"--output={output}: must end in .html, or be a folder"
        )
    (tmp_path / "file").touch()
    assert "cannot write --output=" in message(f"--output={tmp_path}/file/report.html")
    empty = tmp_path / "empty"
    empty.mkdir()
    write_config(Run.open(str(run)).saved.config.replace(workdir=str(empty)), DIGITS)
    assert message(f"--compare={empty}") == f"--compare={empty}: the run has no checkpoint yet"
    assert refusal(report_command, f"--workdir={empty}").startswith(
        f"--workdir={empty}: the run has"
    )
    assert os.listdir(tmp_path) and not [n for n in os.listdir(tmp_path) if "report" in n]
