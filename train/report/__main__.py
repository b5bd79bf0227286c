"""Writes a page about a run: `python -m train.report --workdir=...`.

One HTML file that needs no network. `--compare=run2,run3` shows further runs beside it.
"""

import functools
import os

from absl import flags as absl_flags

from train import flags
from train.command import run, start_tensorflow
from train.errors import ArgumentError, errors_about, writing
from train.files import check_writable_file, write_text
from train.run import Run

FLAGS = absl_flags.FLAGS


def define() -> None:
    flags.define("workdir", "averaged", "data_dir", "batch_size", "seed")
    flags.define(output="page to write, .html, or a folder for it; default: report.html")
    absl_flags.DEFINE_list("compare", [], "further runs, shown beside it")
    absl_flags.DEFINE_integer(
        "num_images", 500, "test images to score; 0: none, no data set is needed", lower_bound=0
    )
    absl_flags.DEFINE_integer(
        "num_samples", 16, "samples; 0: none, and no completions", lower_bound=0
    )


def open_runs() -> list[Run]:
    """The runs of the report. Raises ArgumentError for one that is missing or given twice."""
    opened = [Run.open(FLAGS.workdir)]
    for workdir in FLAGS.compare:
        if any(os.path.realpath(workdir) == os.path.realpath(each.workdir) for each in opened):
            raise ArgumentError("compare", workdir, "the run is already there; give other runs")
        with errors_about("compare"):
            opened.append(Run.open(workdir))
    return opened


def choose_output(opened: Run) -> str:
    """Where the page goes; its folder is made. Raises UserError if it cannot be written."""
    output = FLAGS.output or os.path.join(opened.output_folder, "report.html")
    if output.endswith("/") or os.path.isdir(output):
        output = os.path.join(output, "report.html")
    if not output.lower().endswith((".html", ".htm")):
        raise ArgumentError("output", FLAGS.output, "must end in .html, or be a folder")
    check_writable_file("output", output)
    return output


def main(_) -> None:
    runs = open_runs()
    output = choose_output(runs[0])
    start_tensorflow()
    from train.report.gather import ReportOptions, RunContents, gather
    from train.report.page import page
    from train.run.config_json import versions

    options = ReportOptions(FLAGS.num_images, FLAGS.num_samples, FLAGS.batch_size, FLAGS.seed)
    say = functools.partial(print, flush=True)
    found = []  # all runs are loaded before the first is computed
    for opened in runs:
        with errors_about("workdir" if opened is runs[0] else "compare"):
            found.append(
                RunContents(
                    config=opened.config,
                    data=opened.data,
                    model=opened.model(FLAGS.averaged),
                    step=opened.step,
                    averaged=FLAGS.averaged,
                    rows=opened.metrics(),
                    card=opened.card,
                    dataset=opened.dataset(data_dir=FLAGS.data_dir) if FLAGS.num_images else None,
                    global_batch_size=opened.saved.global_batch_size,
                    versions=opened.saved.versions,
                )
            )
    data = []
    for contents in found:
        say(f"{contents.config.workdir}, step {contents.step}")
        data.append(gather(contents, options, say))
    text = page(data, versions())
    with writing(f"--output={output}"):
        write_text(output, text)
    say(f"wrote {output}, {os.path.getsize(output):,} bytes")


if __name__ == "__main__":
    define()
    run(main)
