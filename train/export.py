"""Exports a run for TF Serving: `python -m train.export --workdir=... --output=models/pixelcnn`."""

import dataclasses
import os
import re
import shutil
import tempfile
import time

from absl import flags

from train.config import config_json as configuration
from train.config.config import Config
from train.config.versions import versions
from train.errors import UserError, reason, run
from train.files import write_json
from train.quiet import start_tensorflow
from train.run.rows import read

FLAGS = flags.FLAGS
SCORES = ("test/", "validation/")  # beginnings of their names in the log
CARD = "model_card.json"
MAX_VERSION = 2**63 - 1  # TF Serving's versions are int64


def define() -> None:
    flags.DEFINE_string("workdir", "", "folder of the run")
    flags.DEFINE_string("output", "", "folder of the model, in which versions are numbered")
    flags.DEFINE_integer("version", None, "number of the version; default: the next free one")
    flags.DEFINE_integer("height", 0, "of the images that it takes; 0: as trained")
    flags.DEFINE_integer("width", 0, "likewise")
    flags.DEFINE_bool("averaged", True, "export the averaged weights, not the raw ones")


def choose_version(output: str, version: int | None = None) -> int:
    """The number of the version to write: `version`, or one more than the highest there is.

    Raises:
      UserError: if `version` is taken or not a version.
    """
    names = os.listdir(output) if os.path.isdir(output) else []
    present = {int(name) for name in names if re.fullmatch(r"[0-9]+", name)}
    if version is None:
        version = max(present, default=0) + 1
    if not 1 <= version <= MAX_VERSION:
        raise UserError(f"--version={version}: must be at least 1 and at most {MAX_VERSION}")
    if version in present:
        raise UserError(f"--version={version}: {output} has it already; give another number")
    return version


def test_scores(workdir: str, step: int) -> dict | None:
    """The last scores of a run up to a step, `{"step": ..., "test/...": ...}`, or None."""
    path = os.path.join(workdir, "metrics.jsonl")
    rows = read(path) if os.path.exists(path) else []
    scored = [
        {"step": row["step"]} | {key: row[key] for key in row if key.startswith(SCORES)}
        for row in rows
        if row["step"] <= step and any(key.startswith(SCORES) for key in row)
    ]
    return scored[-1] if scored else None


def packed_scores(card: dict) -> dict:
    """The same of packed weights, from their card."""
    return {"step": card["step"]} | {
        f"{split}/{name}": value
        for split, scores in card["scores"].items()
        for name, value in scores.items()
    }


def model_card(
    config: Config,
    model,
    step: int,
    averaged: bool,
    version: int,
    signatures: list[str],
    scores: dict | None,
    vq_vae=None,
) -> dict:
    """What a user of the exported model should know, as a dict."""
    shown, of_codes = model, {}
    if model.condition is not None:
        of_codes["condition_shape"] = model.condition.shape(model.image_shape)
    if vq_vae is not None:
        shown = vq_vae.model
        of_codes["vq_vae"] = {
            "workdir": vq_vae.config.workdir,
            "fingerprint": vq_vae.fingerprint,
            "codes_shape": model.image_shape[:2],
            "nr_embeddings": model.num_levels,
            "parameters": shown.count_params(),
        }
    return of_codes | {
        "model": type(model).__name__,
        "version": version,
        "signatures": signatures,
        "image_shape": shown.image_shape,
        "num_levels": shown.num_levels,
        "num_classes": model.num_classes,
        "parameters": model.count_params(),
        "dataset": config.dataset,
        "step": step,
        "weights": "averaged" if averaged else "raw",
        "test": scores,
        "configuration": dataclasses.asdict(config),
        "versions": versions(),
        "exported": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def export(
    workdir: str,
    output: str,
    version: int | None = None,
    averaged: bool = True,
    height: int = 0,
    width: int = 0,
) -> str:
    """Writes `<output>/<version>/`, whole or not at all, and what belongs beside it.

    Args:
      workdir: the run's folder.
      output: the model's folder; its last part is the model's name.
      version: integer, or None for the next free one.
      averaged: export the averaged weights.
      height, width: of the images that it takes; 0: as trained.

    Returns:
      The folder of the version.

    Raises:
      UserError: if there is no such run, or the output cannot be written.
    """
    if not output:
        raise UserError("--output is missing: the folder of the model, such as models/pixelcnn")
    if set("*?[\\") & set(os.path.abspath(output)):
        raise UserError(
            f"--output={output}: TensorFlow cannot load a model from a path with *, ?, [ or \\"
        )
    name = os.path.basename(os.path.abspath(output))
    if name.isdigit() or not name:
        raise UserError(f"--output={output}: give the model's folder; versions are made in it")
    version = choose_version(output, version)
    configuration.require_run(workdir)

    start_tensorflow()
    import tensorflow as tf

    from pixelcnn_tf.export import export_saved_model
    from train.run.codes import load_vq_vae, to_size
    from train.run.restore import load_run, read_card, require_condition
    from train.serving.serving import write_examples, write_warmup

    found = load_run(workdir)
    config, step = found.config, found.step
    vq_vae = load_vq_vae(config)
    model, vq_vae = to_size(found.model(averaged), vq_vae, height, width)
    require_condition(model, f"--height={height}, --width={width}")
    decoder = None if vq_vae is None else vq_vae.model
    folder = os.path.join(output, str(version))
    begin = time.monotonic()
    unfinished = None
    try:
        os.makedirs(output, exist_ok=True)
        leftovers = [entry for entry in os.listdir(output) if entry.startswith(".unfinished-")]
        if leftovers:
            print(f"{output}: unfinished exports, delete them: {', '.join(leftovers)}")
        print(f"{workdir}, step {step}: tracing and writing the signatures", flush=True)
        unfinished = tempfile.mkdtemp(prefix=".unfinished-", dir=output)
        os.chmod(unfinished, 0o755)
        saved_model = os.path.join(unfinished, "saved_model")
        signatures = export_saved_model(model, saved_model, vq_vae=decoder)
        try:
            warm = write_warmup(saved_model, name, model, signatures, decoder)
        except ImportError:
            warm = None
        packed = read_card(workdir)
        scores = packed_scores(packed) if packed else test_scores(workdir, step)
        card = model_card(config, model, step, averaged, version, signatures, scores, vq_vae)
        os.makedirs(os.path.join(saved_model, "assets.extra"), exist_ok=True)
        write_json(os.path.join(saved_model, "assets.extra", CARD), card)
        os.rename(saved_model, folder)
        write_json(os.path.join(output, CARD), card)
        write_examples(output, name)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"--output={output}: cannot be written ({reason(error)})") from None
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)

    size = sum(
        os.path.getsize(os.path.join(root, file))
        for root, _, files in os.walk(folder)
        for file in files
    )
    print(f"signatures: {', '.join(signatures)}")
    if "sample" in signatures and "score" not in signatures:
        metric = model.likelihood.metric
        print(f"left out: score, score_map, serving_default ({metric} is not a likelihood)")
    if warm is None:
        print(
            "no warm-up requests: tensorflow-serving-api is not installed "
            "(pip install -e '.[serving]', then export again)"
        )
    elif warm:
        print(f"warm-up requests: {', '.join(warm)}")
    seconds = time.monotonic() - begin
    print(f"{folder}: {size / 1e6:.1f} MB, written in {seconds:.1f} s", flush=True)
    return folder


def main(_) -> None:
    size = FLAGS.height, FLAGS.width
    export(FLAGS.workdir, FLAGS.output, FLAGS.version, FLAGS.averaged, *size)


if __name__ == "__main__":
    define()
    run(main)
