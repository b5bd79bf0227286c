"""A run on one's own images, chosen by a validation split, and scored on another split."""

import json

import numpy as np
import pytest
from calls import call, refusal
from PIL import Image
from small import (
    config_of,
    random_levels,
    random_run,
    run_of,
    run_training,
    write_config,
)

from train import evaluate
from train.data.description import DataDescription
from train.data.load import load_configured
from train.errors import UserError

SMALL = dict(config="tiny", model="pixelcnn", nr_resnet=1, nr_filters=4, num_head_filters=4)


def make_folder(root):
    for split, count in {"train": 16, "validation": 3, "test": 5}.items():
        (root / split).mkdir(parents=True)
        for i in range(count):
            image = random_levels(9 + i % 3, 12 - i % 2, 1, seed=i)[..., 0]
            Image.fromarray(image).save(root / split / f"{i}.png")
    return f"folder:{root}"


def test_run_on_crops_of_a_folder_chosen_by_validation(tmp_path, capsys):
    values = SMALL | dict(
        dataset=make_folder(tmp_path / "images"),
        crop="8x8",
        random_flip=True,
        mutation_rate=0.1,
        binarize="dynamic",
        eval_split="validation",
        batch_size=4,
        num_samples=0,
    )
    run = tmp_path / "run"
    scores = run_training(config_of(run, values, max_steps=2))
    shown = capsys.readouterr().out
    for part in ("3 validation images (8, 8, 1), 2 levels", "one fixed draw", "central 8x8"):
        assert part in shown
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any(row.get("validation/bits_per_dim") == scores["averaged"] for row in rows)
    assert not any("test/bits_per_dim" in row for row in rows)
    text = call(evaluate, f"--workdir={run}", "--split=train")
    assert "16 train images" in text and "16 of the 16 scored images are trained on" in text
    assert refusal(evaluate, f"--workdir={run}", "--split=tset").startswith("--split=tset: ")


def test_other_data_than_the_run_had(tmp_path):
    """What was done to files, and the binarisation of grey levels, is left out where it cannot be
    meant."""
    run = tmp_path / "run"
    values = SMALL | dict(dataset=make_folder(tmp_path / "images"), crop="8x8", binarize="dynamic")
    values |= dict(alpha="white", skip_broken=True, eval_split="test")
    config = config_of(run, values)
    random_run(run, load_configured(config), seed=1, values=values)
    binary = random_levels(4, 8, 8, 1, num_levels=2)
    np.savez(tmp_path / "binary.npz", x_train=binary, x_test=binary, num_levels=2)
    text = call(evaluate, f"--workdir={run}", f"--dataset={tmp_path}/binary.npz")
    assert "4 test images" in text and "one fixed draw" not in text
    np.savez(tmp_path / "grey.npz", x_train=random_levels(4, 8, 8, 1), x_test=binary + 254)
    assert "one fixed draw" in call(evaluate, f"--workdir={run}", f"--dataset={tmp_path}/grey.npz")


def test_data_with_other_levels_than_the_run_are_rejected(tmp_path):
    config = config_of(tmp_path, {"config": "tiny"}, quantize=2)
    write_config(config, DataDescription((8, 8, 1), 256, 10))
    with pytest.raises(UserError, match="num_levels 2, but the run in .* has num_levels 256"):
        run_of(config).dataset()
