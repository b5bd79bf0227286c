"""Packs the averaged weights of a run into a small folder: `python -m train.pack --workdir=...`.

`pixelcnn_tf.pretrained.load` and `--workdir=pretrained:...` take it.
"""

import functools
import os
import shlex
import shutil
import tempfile

from absl import flags

from train.config import config_json as configuration
from train.config.presets import command_of
from train.config.pretrained import is_pretrained
from train.errors import UserError, run, writing
from train.files import make_writable_folder
from train.quiet import start_tensorflow

FLAGS = flags.FLAGS
OF_THE_MACHINE = ("--workdir=", "--data_dir=")  # flags that the card leaves out


def define() -> None:
    flags.DEFINE_string("workdir", "", "folder of the run")
    flags.DEFINE_string("output", "", "folder to write; its last part is the model's name")
    flags.DEFINE_string("data_dir", "", "where tfds data sets are, if elsewhere than in training")
    flags.DEFINE_string("data_licence", "", "of the data it was trained on, for the card")
    flags.DEFINE_string("note", "", "for the card: how the settings were chosen, what to know")
    flags.DEFINE_list(
        "splits",
        [],
        "what to score for the card, such as validation,test; the last is what train.evaluate "
        "scores of the folder unless told otherwise; default: as in training (--eval_split)",
    )


def check_flags() -> configuration.Saved:
    """The run's `config.json`. Raises UserError for what is wrong whatever the weights are."""
    saved = configuration.require_run(FLAGS.workdir)
    if is_pretrained(FLAGS.workdir):
        raise UserError(f"--workdir={FLAGS.workdir}: is packed already; give the run's folder")
    if saved.data.fingerprint:
        raise UserError(
            f"--workdir={FLAGS.workdir}: a prior of codes, which is nothing without its VQ-VAE; "
            "one folder holds one model"
        )
    if saved.embedding:
        raise UserError(
            f"--workdir={FLAGS.workdir}: given vectors of a Keras model, and nothing without it; "
            "one folder holds one model"
        )
    if not FLAGS.output:
        raise UserError("--output is missing: the folder to write")
    if not FLAGS.data_licence:
        raise UserError("--data_licence is missing: what the data may be used for")
    output = os.path.abspath(FLAGS.output)
    if os.path.lexists(output):
        raise UserError(f"--output={FLAGS.output}: is there already; give another, or delete it")
    with writing(f"--output={FLAGS.output}"):
        make_writable_folder(os.path.dirname(output))
    return saved


def main(_) -> None:
    saved = check_flags()
    start_tensorflow()
    from pixelcnn_tf import pretrained
    from train.devices import make_strategy
    from train.run.data import load_data
    from train.run.pack import card_of, write_card, write_pack
    from train.run.restore import load_run
    from train.training.evaluation import make_evaluate

    say = functools.partial(print, flush=True)
    found = load_run(FLAGS.workdir)
    say(f"{FLAGS.workdir}, step {found.step}")
    config = saved.config
    datasets, splits = {}, FLAGS.splits or [config.eval_split]
    for split in splits:
        dataset = load_data(config.replace(eval_split=split), FLAGS.data_dir)
        datasets[split or dataset.scored] = dataset
    output = os.path.abspath(FLAGS.output)
    with writing(f"--output={FLAGS.output}"):
        folder = tempfile.mkdtemp(prefix=".unfinished-", dir=os.path.dirname(output))
        try:
            os.chmod(folder, 0o755)
            told = [each for each in command_of(config) if not each.startswith(OF_THE_MACHINE)]
            command = " ".join(["python -m train.main", *map(shlex.quote, told)])
            card = card_of(found, command, FLAGS.data_licence, FLAGS.note)
            scored = saved._replace(config=config.replace(eval_split=splits[-1]))
            if saved.read is not None:  # of the last split, which is scored of the folder
                read = saved.read._replace(
                    num_scored=dataset.test.num_examples, parts_by_hash=dataset.parts_by_hash
                )
                scored = scored._replace(read=read)
            card |= write_pack(found, scored, folder)
            write_card(folder, card)
            # What is in the folder is scored, not what went in: it is rounded.
            model = pretrained.load(folder)
            evaluate = make_evaluate(model, make_strategy("one_device", 0))
            card["scores"] = {}
            for split, dataset in datasets.items():
                note = f" ({dataset.note})" if dataset.note else ""
                say(f"scoring the {dataset.test.num_examples:,} images of {split}{note} ...")
                loss, scores = evaluate(dataset.test, config.batch_size)
                unit = {"nats": loss} if model.likelihood.has_log_prob else {}
                count = {"images": dataset.test.num_examples}
                note = {"note": dataset.note} if dataset.note else {}
                card["scores"][split] = count | unit | scores | note
                say(", ".join(f"{name} {value:.6g}" for name, value in (unit | scores).items()))
            write_card(folder, card)
            os.rename(folder, output)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    size = sum(os.path.getsize(os.path.join(output, name)) for name in os.listdir(output))
    say(f"{FLAGS.output}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    define()
    run(main)
