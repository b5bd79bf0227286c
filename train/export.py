"""Exports a run for TF Serving: `python -m train.export --workdir=... --output=models/pixelcnn`."""

import dataclasses
import os
import re
import shutil
import tempfile
import time

from absl import flags as absl_flags

from train import flags
from train.command import run, start_tensorflow
from train.errors import ArgumentError, reason
from train.files import write_json
from train.run import Run
from train.run.config_json import versions
from train.run.run import last_scores

FLAGS = absl_flags.FLAGS
CARD = "model_card.json"
MAX_VERSION = 2**63 - 1  # TF Serving's versions are int64


def define() -> None:
    flags.define("workdir", "averaged", "height", "width")
    flags.define(output="folder of the model, in which versions are numbered")
    absl_flags.DEFINE_integer("version", None, "number of the version; default: the next free one")


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
        raise ArgumentError("version", version, f"must be at least 1 and at most {MAX_VERSION}")
    if version in present:
        raise ArgumentError("version", version, f"{output} has it already; give another number")
    return version


def model_card(
    opened: Run, model, averaged: bool, version: int, signatures: list[str], decoder=None
) -> dict:
    """What a user of the exported model should know, as a dict."""
    shown, of_codes = model, {}
    if model.condition is not None:
        of_codes["condition_shape"] = model.condition.shape(model.image_shape)
    if decoder is not None:
        shown = decoder.model
        of_codes["vq_vae"] = {
            "workdir": decoder.workdir,
            "fingerprint": decoder.fingerprint,
            "codes_shape": model.image_shape[:2],
            "num_embeddings": model.num_levels,
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
        "dataset": opened.config.dataset,
        "step": opened.step,
        "weights": "averaged" if averaged else "raw",
        "test": last_scores(opened),
        "configuration": dataclasses.asdict(opened.config),
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
    """Writes `<output>/<version>/` atomically, and the files beside it.

    Args:
      workdir: the run.
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
        text = "is missing: the folder of the model, such as models/pixelcnn"
        raise ArgumentError("output", None, text)
    if set("*?[\\") & set(os.path.abspath(output)):
        raise ArgumentError(
            "output", output, "TensorFlow cannot load a model from a path with *, ?, [ or \\"
        )
    name = os.path.basename(os.path.abspath(output))
    if name.isdigit() or not name:
        raise ArgumentError("output", output, "give the model's folder; versions are made in it")
    version = choose_version(output, version)
    opened = Run.open(workdir)

    start_tensorflow()
    import tensorflow as tf

    from pixelcnn_tf.export import export_saved_model
    from train.run.models import check_condition_size
    from train.serving.serving import write_examples, write_warmup

    model, decoder = opened.sized_model(height, width, averaged)
    check_condition_size(model, f"--height={height}, --width={width}")
    vq_vae = None if decoder is None else decoder.model
    folder = os.path.join(output, str(version))
    begin = time.monotonic()
    unfinished = None
    try:
        os.makedirs(output, exist_ok=True)
        leftovers = [entry for entry in os.listdir(output) if entry.startswith(".unfinished-")]
        if leftovers:
            print(f"{output}: unfinished exports, delete them: {', '.join(leftovers)}")
        print(f"{workdir}, step {opened.step}: tracing and writing the signatures", flush=True)
        unfinished = tempfile.mkdtemp(prefix=".unfinished-", dir=output)
        os.chmod(unfinished, 0o755)
        saved_model = os.path.join(unfinished, "saved_model")
        signatures = export_saved_model(model, saved_model, vq_vae=vq_vae)
        try:
            warm = write_warmup(saved_model, name, model, signatures, vq_vae)
        except ImportError:
            warm = None
        card = model_card(opened, model, averaged, version, signatures, decoder)
        os.makedirs(os.path.join(saved_model, "assets.extra"), exist_ok=True)
        write_json(os.path.join(saved_model, "assets.extra", CARD), card)
        os.rename(saved_model, folder)
        write_json(os.path.join(output, CARD), card)
        write_examples(output, name)
    except (OSError, tf.errors.OpError) as error:
        raise ArgumentError("output", output, f"cannot be written ({reason(error)})") from None
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
        print(f"not exported: score, score_map, serving_default ({metric} is not a likelihood)")
    if warm is None:
        print(
            "no warm-up requests: tensorflow-serving-api is not installed "
            "(pip install 'pixelcnn_tf[serving]', then export again)"
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
