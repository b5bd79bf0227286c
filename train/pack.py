"""Packs the averaged weights of a run into a small folder: `python -m train.pack --workdir=...`.

`pixelcnn_tf.pretrained.load` and `--workdir=pretrained:...` take it.
"""

import functools
import os
import shlex
import shutil
import tempfile

from absl import flags as absl_flags

from train import flags
from train.command import run, start_tensorflow
from train.config.presets import command_of
from train.errors import ArgumentError, writing
from train.files import make_writable_folder
from train.run import Run
from train.run.pack import write_card, write_pack

FLAGS = absl_flags.FLAGS
OF_THE_MACHINE = ("--workdir=", "--data_dir=")  # flags that the card leaves out


def define() -> None:
    flags.define("workdir", "data_dir", output="folder to write, named as the model")
    absl_flags.DEFINE_string("data_licence", "", "licence of the training data, for the card")
    absl_flags.DEFINE_string("note", "", "for the card: how the settings were chosen, caveats")
    absl_flags.DEFINE_list(
        "splits",
        [],
        "what to score for the card, such as validation,test; the last is what train.evaluate "
        "scores by default; default: as in training (--eval_split)",
    )


def check_flags(opened: Run) -> None:
    """Raises ArgumentError for what is wrong whatever the weights are."""
    if opened.is_pretrained:
        raise ArgumentError("workdir", opened.workdir, "is packed already; give the run's folder")
    needs = "its VQ-VAE" if opened.data.fingerprint else ""
    needs = "the Keras model of its embedding" if opened.saved.embedding else needs
    if needs:
        text = f"the model needs {needs}, but a packed folder holds one model"
        raise ArgumentError("workdir", opened.workdir, text)
    if not FLAGS.output:
        raise ArgumentError("output", None, "is missing: the folder to write")
    if not FLAGS.data_licence:
        raise ArgumentError("data_licence", None, "is missing: what the data may be used for")
    if os.path.lexists(FLAGS.output):
        raise ArgumentError("output", FLAGS.output, "exists; give another folder, or delete it")
    with writing(f"--output={FLAGS.output}"):
        make_writable_folder(os.path.dirname(os.path.abspath(FLAGS.output)))


def main(_) -> None:
    opened = Run.open(FLAGS.workdir)
    check_flags(opened)
    start_tensorflow()
    from train.run.config_json import DatasetFingerprint

    say = functools.partial(print, flush=True)
    opened.model()
    say(f"{opened.workdir}, step {opened.step}")
    datasets, splits = {}, FLAGS.splits or [opened.config.eval_split]
    for split in splits:
        dataset = opened.dataset(split, FLAGS.data_dir)
        datasets[split or dataset.eval_name] = dataset
    # The last split is what is scored by default.
    saved = opened.saved._replace(
        config=opened.config.replace(eval_split=splits[-1]),
        fingerprint=opened.saved.fingerprint and DatasetFingerprint.of(dataset),
    )
    passed = [each for each in command_of(opened.config) if not each.startswith(OF_THE_MACHINE)]
    command = " ".join(["python -m train.main", *map(shlex.quote, passed)])
    output = os.path.abspath(FLAGS.output)
    with writing(f"--output={FLAGS.output}"):
        folder = tempfile.mkdtemp(prefix=".unfinished-", dir=os.path.dirname(output))
        try:
            os.chmod(folder, 0o755)
            card = write_pack(opened, saved, folder, FLAGS.data_licence, command, FLAGS.note)
            write_card(folder, card)
            # The packed weights are scored, not the run's: they are rounded.
            card["scores"] = _score(folder, datasets, opened.config.batch_size, say)
            write_card(folder, card)
            os.rename(folder, output)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    size = sum(os.path.getsize(os.path.join(output, name)) for name in os.listdir(output))
    say(f"{FLAGS.output}: {size / 1e6:.2f} MB")


def _score(folder, datasets, batch_size, say):
    """The scores of packed weights for the card: split -> name -> value."""
    from pixelcnn_tf import pretrained
    from pixelcnn_tf.likelihoods.base import Likelihood
    from train.devices import make_strategy
    from train.training.evaluation import make_evaluate

    model = pretrained.load(folder)
    evaluate = make_evaluate(model, make_strategy("one_device", 0))
    found = {}
    for split, dataset in datasets.items():
        note = f" ({dataset.note})" if dataset.note else ""
        say(f"scoring the {dataset.eval.num_examples:,} images of {split}{note} ...")
        loss, scores, error = evaluate(dataset.eval, batch_size)
        unit = {"nats": loss} if isinstance(model.likelihood, Likelihood) else {}
        found[split] = {"images": dataset.eval.num_examples} | unit | scores
        if error is not None:
            found[split]["standard_error"] = error
        if dataset.note:
            found[split]["note"] = dataset.note
        say(", ".join(f"{name} {value:.6g}" for name, value in (unit | scores).items()))
    return found


if __name__ == "__main__":
    define()
    run(main)
