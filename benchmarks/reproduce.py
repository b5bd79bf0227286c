"""Evaluates every pretrained model on its whole test split, and compares with what is published.

    python benchmarks/reproduce.py --data_dir=<prepared tfds data>      # or: make reproduce

One row per model: the published result, the model card, now, standard error, ok or off. "now" must
equal the card and the results table of docs/results.md to the last printed digit.
"""

import math
import re
import sys
from pathlib import Path

import tensorflow as tf
from absl import app, flags

from pixelcnn_tf import pretrained
from train.run import Run
from train.scoring.published_scores import published
from train.training.evaluation import make_evaluate

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", "", "where tfds data sets are")
flags.DEFINE_list("only", [], "names of pretrained models; default: all")
flags.DEFINE_integer("batch_size", 100, "images computed at a time", lower_bound=1)

RESULTS = Path(__file__).parents[1] / "docs" / "results.md"


def documented(name: str) -> tuple[float, int] | None:
    """`(figure, decimals)` of a model in the tables of docs/results.md: its test score."""
    for line in RESULTS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] != f"`{name}`":
            continue
        # The last cell is the published result; the one before it is ours.
        match = re.search(r"(\d+\.(\d+))", cells[-2])
        return (float(match[1]), len(match[2])) if match else None
    return None


def main(_):
    names = FLAGS.only or pretrained.names()
    reproduced = 0
    print(
        f"{'':34}{'published':>10}{'card':>10}{'docs':>10}{'now':>10}  standard error", flush=True
    )
    for name in names:
        run = Run.open(f"pretrained:{name}")
        dataset = run.dataset("test", FLAGS.data_dir)
        evaluate = make_evaluate(run.model(), tf.distribute.get_strategy())
        found = evaluate(dataset.eval, FLAGS.batch_size)
        results = published(dataset.benchmark, dataset.image_shape)
        best = min((each.score for each in results.results), default=None)
        card = run.card["scores"]["test"]
        in_nats = results.unit == "nats"
        now = found.loss if in_nats else found.scores["bits_per_dim"]
        expected = card["nats" if in_nats else "bits_per_dim"]
        error = found.standard_error * (math.log(2.0) * math.prod(dataset.image_shape))
        error = error if in_nats else found.standard_error
        figure, decimals = documented(name) or (math.nan, 4)
        same = f"{now:.{decimals}f}" == f"{expected:.{decimals}f}" == f"{figure:.{decimals}f}"
        complete = dataset.eval.num_examples == card["images"]
        reproduced += same and complete
        shown = "" if best is None else f"{best:.2f}"
        row = f"{name:34}{shown:>10}{expected:10.{decimals}f}{figure:10.{decimals}f}"
        row += f"{now:10.{decimals}f}  {error:.{decimals}f}"
        if not complete:
            row += f"  {dataset.eval.num_examples:,} of {card['images']:,} images"
        print(f"{row}  {'ok' if same and complete else 'off'}", flush=True)
    print(f"{reproduced} of {len(names)} figures reproduced")
    sys.exit(0 if reproduced == len(names) else 1)


if __name__ == "__main__":
    app.run(main)
