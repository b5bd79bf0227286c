"""Writes a page about a run: `python -m train.report --workdir=...`.

One HTML file that needs no network. `--compare=run2,run3` puts further runs beside it.
"""

import contextlib
import functools
import os

from absl import flags

from train.command import run, start_tensorflow
from train.config import config_json as configuration
from train.config.pretrained import write_to
from train.errors import UserError, writing
from train.files import make_writable_folder, write_text

FLAGS = flags.FLAGS
MAX_RUNS = 5  # side by side: as many as the page has colours


def define() -> None:
    flags.DEFINE_string("workdir", "", "folder of the run")
    flags.DEFINE_list("compare", [], "folders of further runs, to be put beside it")
    flags.DEFINE_string(
        "output",
        "",
        "page to write, .html, or a folder for it; default: report.html in the workdir",
    )
    flags.DEFINE_string("data_dir", "", "where tfds data sets are, if elsewhere than in training")
    flags.DEFINE_integer(
        "num_images", 500, "test images that are scored, the first; 0: none, no data set is needed"
    )
    flags.DEFINE_integer("num_samples", 16, "samples; 0: none, and no completions")
    flags.DEFINE_integer("batch_size", 0, "images scored at a time; 0: as in training")
    flags.DEFINE_integer("seed", 1, "random seed of samples and completions, 0 to 2**64 - 1")
    flags.DEFINE_bool("averaged", True, "use the averaged weights, not the raw ones")


@contextlib.contextmanager
def _about(workdir):
    """Makes what is said of `--workdir` be said of `--compare`, if it is that of another run."""
    try:
        yield
    except UserError as error:
        if workdir == FLAGS.workdir:
            raise
        raise UserError(str(error).replace("--workdir=", "--compare=")) from None


def check_flags() -> dict[str, configuration.Saved]:
    """The `config.json` of each run, by its folder.

    Raises UserError for what is wrong whatever models and data are.
    """
    found = {FLAGS.workdir: configuration.require_run(FLAGS.workdir)}
    for workdir in FLAGS.compare:
        flag = f"--compare={workdir}"
        if any(os.path.realpath(workdir) == os.path.realpath(other) for other in found):
            raise UserError(f"{flag}: the run is there already; give other runs")
        with _about(workdir):
            found[workdir] = configuration.load(workdir)
    if len(found) > MAX_RUNS:
        raise UserError(
            f"--compare={','.join(FLAGS.compare)}: at most {MAX_RUNS - 1} runs stand beside that "
            "of --workdir"
        )
    for name in ("num_images", "num_samples", "batch_size"):
        if FLAGS[name].value < 0:
            raise UserError(f"--{name}={FLAGS[name].value}: must be at least 0")
    if not 0 <= FLAGS.seed < 2**64:
        raise UserError(f"--seed={FLAGS.seed}: must be from 0 to {2**64 - 1}")
    return found


def choose_output() -> str:
    """Where the page goes; its folder is made. Raises UserError if it cannot be written."""
    output = FLAGS.output or os.path.join(write_to(FLAGS.workdir), "report.html")
    if output.endswith("/") or os.path.isdir(output):
        output = os.path.join(output, "report.html")
    if not output.lower().endswith((".html", ".htm")):
        raise UserError(f"--output={FLAGS.output}: must end in .html, or be a folder")
    with writing(f"--output={output}"):
        if os.path.isdir(output):
            raise IsADirectoryError(None, "it is a folder")
        make_writable_folder(os.path.dirname(output))
    return output


def main(_) -> None:
    found = check_flags()
    output = choose_output()
    start_tensorflow()
    from train.report.gather import Wanted, gather, read_folder
    from train.report.page import page
    from train.run.data import load_data
    from train.run.restore import load_run

    say = functools.partial(print, flush=True)
    # All folders are opened before the first is worked on.
    opened = []
    for workdir, saved in found.items():
        with _about(workdir):
            found_run = load_run(workdir)
            config, step = found_run.config, found_run.step
            dataset = load_data(config, FLAGS.data_dir) if FLAGS.num_images else None
            model = found_run.model(FLAGS.averaged)
            known = read_folder(saved, model, step, dataset)
            opened.append((known._replace(averaged=FLAGS.averaged), model))
    findings = []
    for known, model in opened:
        say(f"{known.workdir}, step {known.step}")
        wanted = Wanted(
            num_images=FLAGS.num_images,
            num_samples=FLAGS.num_samples,
            batch_size=FLAGS.batch_size or known.saved.config.batch_size,
            seed=FLAGS.seed,
        )
        findings.append(gather(known, model, wanted, say))
    text = page(findings)
    with writing(f"--output={output}"):
        write_text(output, text)
    say(f"wrote {output}, {os.path.getsize(output):,} bytes")


if __name__ == "__main__":
    define()
    run(main)
