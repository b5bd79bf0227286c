"""What a shell sees: exit codes, and what stands on the standard error."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import write_config

from train.config.presets import from_values
from train.data.description import DataDescription

ROOT = Path(__file__).parents[3]
COMMANDS = ("main", "evaluate", "sample", "score", "compress", "decompress")
COMMANDS += ("export", "import_official", "plot")


def start(code, *arguments, **environment):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"} | environment
    pipe = subprocess.PIPE
    command = [sys.executable, *code, *arguments]
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def finish(process):
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_no_tensorflow_and_wrong_flags_end_with_2(command):
    blocked = "import sys, runpy; sys.modules['tensorflow'] = None; sys.argv[0] = 'x'; "
    code = ["-c", blocked + f"runpy.run_module('train.{command}', run_name='__main__')"]
    helped = start(code, "--help")
    wrong = start(code, "--no_such_flag=3")
    status, output, _ = finish(helped)
    assert status == 0 and "--workdir" in output
    status, _, errors = finish(wrong)
    assert status == 2
    assert errors == "error: Unknown command line flag 'no_such_flag' (--help lists the flags)\n"


def test_a_value_that_cannot_be_parsed():
    status, _, errors = finish(start(["-m", "train.main"], "--nr_filters=many"))
    assert status == 2 and errors.count("\n") == 1
    assert errors.startswith("error: flag --nr_filters=many: ")


def test_output_that_nobody_reads_is_no_traceback(tmp_path):
    config = from_values({"config": "tiny", "workdir": str(tmp_path)})
    write_config(config, DataDescription((8, 8, 1), 17, 10))
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "train/bits_per_dim": 3.0}\n')
    code = "import runpy; input(); runpy.run_module('train.plot', run_name='__main__')"
    command = [sys.executable, "-uc", code, f"--workdir={tmp_path}"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
    process.stdout.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait() == 128 + signal.SIGPIPE


@pytest.mark.parametrize("command", ["evaluate", "sample", "export"])
def test_a_run_that_is_not_there_is_told_without_tensorflow(tmp_path, command):
    blocked = "import sys, runpy; sys.modules['tensorflow'] = None; "
    code = ["-c", blocked + f"runpy.run_module('train.{command}', run_name='__main__')"]
    flags = [f"--output={tmp_path}/model"] if command == "export" else []
    status, _, errors = finish(start(code, "--workdir=no/run", *flags))
    assert status == 2
    assert errors == "error: --workdir=no/run: no run here (config.json is missing)\n"


OUT_OF_MEMORY = """
from train.command import run
class ResourceExhausted(Exception):
    error_code = 8
    message = "{{node x}} OOM when allocating tensor with shape[9]\\nand more"
def main(_):
    raise ResourceExhausted
run(main)
"""


def test_out_of_memory_is_one_sentence():
    status, output, errors = finish(start(["-c", OUT_OF_MEMORY]))
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("error: out of memory (OOM when allocating tensor with shape[9]); ")
    assert "--batch_size" in errors


WITHIN_TENSORFLOW = OUT_OF_MEMORY.replace("error_code = 8", "error_code = 3").replace(
    "OOM when allocating tensor with shape[9]", "UserError: a.png: not a readable image"
)


def test_an_error_within_the_input_is_one_sentence():
    code, output, errors = finish(start(["-c", WITHIN_TENSORFLOW]))
    assert (code, output, errors) == (2, "", "error: a.png: not a readable image\n")


GREETING = """
import train
from train.command import start_tensorflow
start_tensorflow()
import tensorflow as tf
tf.constant(1.0) + 1
"""


def test_tensorflow_starts_without_greetings_and_the_library_without_tfp():
    code = "import sys; sys.modules['tensorflow_probability'] = None\n" + GREETING
    code += "import pixelcnn_tf; assert pixelcnn_tf.PixelCNNPlusPlus"
    assert finish(start(["-c", code])) == (0, "", "")


FAKE_TENSORFLOW = """
import os, sys
os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called ...\\n")
os.write(2, b"I0000 00:00:1.2 3 port.cc:153] oneDNN custom operations are on.\\n")
os.write(2, b"E0000 00:00:1.2 3 cuda_platform.cc:52] failed call to cuInit: INTERNAL: "
            b"CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)\\n")
os.write(2, b"E0000 00:00:1.2 3 cuda_platform.cc:52] failed call to cuInit: OUT OF DATE (35)\\n")
os.write(2, b"no newline at the end")
raise ImportError("libfoo.so: cannot open")
"""


def test_only_the_banner_of_tensorflow_is_left_out(tmp_path):
    (tmp_path / "tensorflow.py").write_text(FAKE_TENSORFLOW)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    code = "import sys; sys.path.insert(0, sys.argv[1])\n" + GREETING
    process = start(["-c", code], str(tmp_path), PYTHONPATH=path)
    status, _, errors = finish(process)
    assert errors.startswith(
        "E0000 00:00:1.2 3 cuda_platform.cc:52] failed call to cuInit: OUT OF DATE (35)\n"
        "no newline at the end"
    )
    assert status == 1
    assert "ImportError: libfoo.so: cannot open" in errors


def test_greetings_are_shown_if_asked_for(tmp_path):
    (tmp_path / "tensorflow.py").write_text(FAKE_TENSORFLOW)
    code = "import sys; sys.path.insert(0, sys.argv[1])\n" + GREETING
    _, _, errors = finish(start(["-c", code], str(tmp_path), TF_CPP_MIN_LOG_LEVEL="0"))
    assert errors.startswith("WARNING: All log messages") and "oneDNN" in errors


SLOW_IMPORT = """
import time
print("importing", flush=True)
try:
    time.sleep(60)
except BaseException as error:
    raise ImportError("as C++ makes of an interrupt") from None
"""


@pytest.mark.parametrize("command", ["main", "sample", "export"])
def test_ctrl_c_is_one_line(tmp_path, command):
    """While TensorFlow is imported, whatever the import makes of it."""
    (tmp_path / "tensorflow.py").write_text(SLOW_IMPORT)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    code = f"import runpy; runpy.run_module('train.{command}', run_name='__main__')"
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); " + code
    config = from_values({"config": "tiny", "workdir": str(tmp_path / "run")})
    if command != "main":
        (tmp_path / "run").mkdir()
        write_config(config, DataDescription((8, 8, 1), 17, 10))
    flags = [f"--workdir={config.workdir}"]
    flags += [f"--output={tmp_path}/model"] if command == "export" else []
    process = start(["-c", code], str(tmp_path), *flags, PYTHONPATH=path)
    assert process.stdout.readline() == "importing\n"
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    status, _, errors = finish(process)
    assert (status, errors) == (130, "interrupted (Ctrl-C)\n")
    assert time.monotonic() - begin < 5
    assert not os.path.exists(tmp_path / "model")


def test_the_demo_ends_by_telling_what_to_try_next():
    """Each of the commands that it names is one that can be given."""
    command = ["make", "-n", "demo", "VENV=.venv"]  # these tests' own make may have another
    shown = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    text = shown.stdout[shown.stdout.index("train.main") :]
    assert "runs/digits-tiny/samples" in text and "source .venv/bin/activate" in text
    for command in ("sample", "plot", "evaluate", "main"):
        assert f"  python -m train.{command} --" in text
