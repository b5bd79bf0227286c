"""Brings the results of `run_there.py` into the run's folder: a checkpoint and the rows of its log.

    python experiments/accelerator/take_back.py --results=<folder> <the flags of train.main>

Adam's moments come back in bfloat16, everything else as it was. The rows have no learning rate.
"""

import json
import os

import ml_dtypes
import numpy as np
from absl import app
from absl import flags as absl_flags

from train import flags
from train.command import start_tensorflow
from train.config.models import make_model
from train.run import Run, config_json

absl_flags.DEFINE_bool(
    "goes_on", False, "the results count their steps from the run's present one (--weights there)"
)
absl_flags.DEFINE_bool("marked_warps", False, "as in hand_over.py")
absl_flags.DEFINE_float("towards_warps", 0.0, "where between images as they are (0) and warped (1)")
absl_flags.DEFINE_string("results", None, "folder that run_there.py wrote", required=True)
# Those of run_there.py, which cannot be imported without JAX.
PARTS = ("parameters", "averages", "first_moments", "second_moments")


def without_classes(arrays, config, dataset):
    """The arrays of a model without classes, equal to the one of two classes that is given the
    first, or the point `--towards_warps` of the way to the second: what a class adds to a block
    is added to its bias."""
    conditional = make_model(
        config.replace(class_conditional=True), dataset._replace(num_classes=2)
    )
    paths = [variable.path.split("/", 1)[1] for variable in conditional.trainable_variables]
    share = absl_flags.FLAGS.towards_warps
    merged = {"step": arrays["step"]}
    for part in PARTS:
        named = {path: arrays[f"{part}/{n:04}"] for n, path in enumerate(paths)}
        for path in paths:
            if part.endswith("moments") or not path.endswith("/conv_gate/b"):
                continue
            hw = named[path.removesuffix("conv_gate/b") + "hw"]
            named[path] = named[path] + (1 - share) * hw[0] + share * hw[1]
        kept = [array for path, array in named.items() if not path.endswith("/hw")]
        merged |= {f"{part}/{n:04}": array for n, array in enumerate(kept)}
    return merged


def main(_):
    config = flags.to_config()
    with Run.create(config) as run:
        take_back(run)


def take_back(run):
    config = run.config
    start_tensorflow()
    import tensorflow as tf

    from train.data.load import load_configured
    from train.run.metrics import MetricsLog
    from train.training.trainer import Trainer

    results = absl_flags.FLAGS.results
    arrays = np.load(os.path.join(results, "state.npz"))
    with open(os.path.join(results, "rows.jsonl")) as file:
        rows = [json.loads(line) for line in file]
    dataset = load_configured(config)
    saved = run.saved
    if saved is not None:
        if not absl_flags.FLAGS.goes_on:  # a further part may have other rates and dropout
            config_json.check_config_matches(saved, config)
        config_json.check_dataset_matches(saved, config, dataset)
        config_json.check_batch_matches(saved, config, 1)
    trainer = Trainer(run, dataset, tf.distribute.get_strategy())
    first = trainer.restore() or 0
    offset = first if absl_flags.FLAGS.goes_on else 0
    begin, step = (offset + int(arrays[name]) for name in ("first", "step"))
    if begin != first or step <= first:
        raise ValueError(f"{results} has steps {begin} to {step}, but the run is at {first}")
    if absl_flags.FLAGS.marked_warps:
        arrays = without_classes(arrays, config, dataset)
    variables = trainer.model.trainable_variables
    moments = [trainer.optimizer.moments(v) for v in variables]
    here = (
        variables,
        trainer.averaged_model.trainable_variables,
        [m for m, _ in moments],
        [v for _, v in moments],
    )
    for part, several in zip(PARTS, here, strict=True):
        for n, variable in enumerate(several):
            array = arrays[f"{part}/{n:04}"]
            if array.dtype == np.uint16:
                array = array.view(ml_dtypes.bfloat16).astype(np.float32)
            variable.assign(array)
    trainer.optimizer.iterations.assign(step)

    run.config = config
    run.write_config(dataset, trainer.global_batch_size)
    log = MetricsLog(config.workdir, first)
    likelihood, scored = trainer.model.likelihood, dataset.eval_name
    prefix = "validation" if scored == "validation" else "test"
    a_epoch = dataset.train.steps_per_epoch(trainer.global_batch_size)
    for row in rows:
        row["step"] += offset
        if row["step"] > step:
            continue
        values = {}
        if "bits" in row:
            values[f"train/{likelihood.metric}"] = row["bits"]
        if "images_per_sec" in row:
            values["images_per_sec"] = row["images_per_sec"]
        for ending, name in (("", "averaged"), ("_raw", "raw")):
            if name in row:
                values[f"{prefix}/{likelihood.metric}{ending}"] = trainer.score(row[name])
                values[f"{prefix}/loss_per_image{ending}"] = row[name]
        if values:
            log.write(row["step"], epoch=(row["step"] - 1) // a_epoch, **values)
    log.close()
    trainer.save(step)
    print(f"{config.workdir}: now at step {step}")


if __name__ == "__main__":
    flags.define_config()
    app.run(main)
