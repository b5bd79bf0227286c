"""`train.plot`."""

import json
import os

import pytest
from calls import call, refusal
from full_disk import largest_file
from small import write_config

import train.plot
from train.config.presets import from_values
from train.data.description import DataDescription

ROWS = [
    {"step": 1, "train/bits_per_dim": 3.0},
    {"step": 2, "train/bits_per_dim": 2.0, "test/bits_per_dim": 2.5},
]


def run_in(folder, rows=ROWS):
    config = from_values({"config": "tiny", "workdir": str(folder)})
    write_config(config, DataDescription((8, 8, 1), 17, 10))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"--workdir={folder}"


@pytest.mark.parametrize("extension", ["png", "svg", "pdf", "PNG"])
def test_plot_writes_the_curve(tmp_path, extension):
    output = tmp_path / f"curve.{extension}"
    text = call(train.plot, run_in(tmp_path), f"--output={output}", "--title=cost: $1 {x}")
    assert text == f"wrote {output}\n"
    assert output.stat().st_size > 2000


def test_plot_writes_into_the_workdir_by_default(tmp_path):
    assert call(train.plot, run_in(tmp_path)) == f"wrote {tmp_path}/curve.png\n"
    assert sorted(os.listdir(tmp_path)) == ["config.json", "curve.png", "metrics.jsonl"]


@pytest.mark.parametrize("output, message", [("x.xyz", "must end in one of ."), ("x", "end in")])
def test_plot_rejects_other_extensions(tmp_path, output, message):
    assert message in refusal(train.plot, run_in(tmp_path), f"--output={tmp_path}/{output}")
    assert sorted(os.listdir(tmp_path)) == ["config.json", "metrics.jsonl"]


def test_plot_creates_the_folder(tmp_path):
    call(train.plot, run_in(tmp_path), f"--output={tmp_path}/none/x.png")
    assert os.listdir(tmp_path / "none") == ["x.png"]


@pytest.mark.parametrize("rows", [[], [{"step": 1, "learning_rate": 0.1}]])
def test_plot_rejects_a_run_without_scores(tmp_path, rows):
    assert "has no scores yet" in refusal(train.plot, run_in(tmp_path, rows))


def test_plot_rejects_a_folder_without_a_run(tmp_path):
    assert "no run here" in refusal(train.plot, f"--workdir={tmp_path}")
    assert "--workdir is missing" in refusal(train.plot)


def test_plot_on_a_full_disk(tmp_path):
    workdir = run_in(tmp_path)
    with largest_file(1000):
        message = refusal(train.plot, workdir)
    assert message.startswith("cannot write --output=") and "curve.png: File too large" in message
    assert sorted(os.listdir(tmp_path)) == ["config.json", "metrics.jsonl"]
