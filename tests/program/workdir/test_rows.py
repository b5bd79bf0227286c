"""`metrics.jsonl` as anything may have left it."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from pixelcnn_tf.likelihoods.categorical import Categorical
from train.errors import UserError
from train.run.metrics import MetricsLog, read
from train.training.window import Window

GOOD = b'{"step": 1, "test/bits_per_dim": 2.5}\n'


@pytest.mark.parametrize(
    "line",
    [
        b'{"step": "7"}',
        b'{"step": null}',
        b'{"step": 1.5}',
        b'{"step": true}',
        b'{"step": 7, "test/bits_per_dim": "low"}',
        b'{"bits": 3}',
        b"\xff\xfe\x00",
        b"[7]",
        b"[" * 5000,
        b"",
        b'{"step": 1e999}',
        b'{"step": 7, "tr',
    ],
)
def test_what_is_no_row_is_left_out_and_told(tmp_path, capsys, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(GOOD + line + b"\n" + GOOD.replace(b"1", b"2"))
    assert [row["step"] for row in read(str(path))] == [1, 2]
    assert "left out what is no row of numbers: line 2" in capsys.readouterr().out
    log = MetricsLog(str(tmp_path), step=2)
    assert log.has("test/bits_per_dim") and not log.has("train/bits_per_dim")
    log.close()
    assert path.read_bytes().count(b"\n") == 2


def test_a_half_line_at_the_end_is_usual(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_bytes(GOOD + b'{"step": 2, "te')
    assert len(read(str(tmp_path / "metrics.jsonl"))) == 1
    assert capsys.readouterr().out == ""


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="cannot be read .Is a directory"):
        read(str(tmp_path))


def test_a_row_is_the_mean_of_its_steps_and_their_speed():
    rows = []
    trainer = SimpleNamespace(
        window=tf.Variable([0.0, 0.0]),
        global_batch_size=50,
        learning_rate=lambda step: 0.1,
        score=lambda nats: nats / 64,
        model=SimpleNamespace(likelihood=Categorical(1, 2)),
    )
    log = SimpleNamespace(write=lambda step, **values: rows.append(values))
    window = Window(trainer, log, SimpleNamespace(report=lambda *_: None))
    window.add(tf.constant([3200.0, 6400.0]))
    window.add(tf.constant([9600.0, 12800.0]))
    window.begin -= 2.0
    window.write(4, 0)
    assert rows[0]["train/bits_per_dim"] == 2.5 and 90 < rows[0]["images_per_sec"] <= 100
