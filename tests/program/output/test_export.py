"""SavedModels, loaded back in every way that a server would."""

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from family import FAMILY, small
from serving_stand_in import SessionModel, serve_grpc, serve_rest
from small import (
    ONE_STAGE_RUN,
    SMALLEST_RUN,
    config_of,
    load_run,
    random_levels,
    random_run,
    with_encoder,
)
from tensorflow_serving.apis import prediction_log_pb2

from pixelcnn_tf import PixelCNNPlusPlus, data_dependent_init, sampling
from pixelcnn_tf.export import export_saved_model, signatures
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from pixelcnn_tf.likelihoods.base import bits_per_dim
from train.data.load import load
from train.errors import UserError
from train.export import export
from train.main import train
from train.run.metrics import MetricsLog
from train.sampling.conditioned import conditions_of
from train.serving.serving import WARMUP_FILE

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "serve.md"
ALL = ("serving_default", "score", "score_map", "sample", "complete")
SEEDS = np.array([[1, 2], [-3, 4], [5, 600]], np.int32)


def random_images(model, num=3):
    return random_levels(num, *model.image_shape, num_levels=model.num_levels, seed=5)


def make_model(**changes):
    arguments = dict(image_shape=(8, 8, 3), nr_resnet=1, nr_filters=6, nr_logistic_mix=2)
    model = PixelCNNPlusPlus(**(arguments | changes))
    labels = [0, 1, 2] if model.num_classes else None
    data_dependent_init(model, levels_to_input(random_images(model), model.num_levels), labels)
    return model


class Exported:
    """An exported model, the model itself, and requests for it."""

    def __init__(self, model, folder):
        self.model = model
        self.folder = str(folder)
        self.images = random_images(model)
        self.labels = {"labels": np.array([0, 1, 2], np.int32)} if model.num_classes else {}
        mask = np.zeros(self.images.shape[:3], np.uint8)
        mask[:, :2] = 1
        mask[:, 3, 2] = 1
        self.requests = {
            "serving_default": {"images": self.images},
            "score": {"images": self.images},
            "score_map": {"images": self.images},
            "sample": {"seeds": SEEDS},
            "complete": {"images": self.images, "mask": mask, "seeds": SEEDS},
        }
        self.requests = {name: given | self.labels for name, given in self.requests.items()}
        self.given = None  # a condition that is not that of the images
        if model.condition is not None:
            given = conditions_of(model, self.images[::-1])
            self.given = given if model.encoder is not None else given.astype(np.uint8)
            for name in ("sample", "complete"):
                self.requests[name]["condition"] = self.given
            self.requests["embed"] = {"images": self.images}

    @functools.cached_property
    def session(self):
        return SessionModel(self.folder)

    def own_answer(self, name):
        """What the model itself gives."""
        model, labels = self.model, self.labels.get("labels")
        values = levels_to_input(self.images, model.num_levels)
        if "sc" in name or name == "serving_default":
            log_prob = model.likelihood.log_prob(values, model(values, labels)).numpy()
            if name == "score_map":
                return {"bits": -log_prob / np.log(2)}
            nats = log_prob.sum(axis=(1, 2))
            return {"log_prob": nats, "bits_per_dim": bits_per_dim(-nats, model.image_shape)}
        if name == "embed":
            return {"condition": model.condition.from_images(values)}
        if self.given is not None:
            labels = model.compute_condition(values[::-1])
        given = {"mask": np.zeros(values.shape[:3])} | self.requests[name]
        noise = sampling.pixel_uniforms(model, SEEDS)
        completed = sampling.complete(model, values, given["mask"], labels=labels, noise=noise)
        return {"images": input_to_levels(completed, model.num_levels).numpy()}


def assert_same(answer, expected):
    assert set(answer) == set(expected)
    for name, value in expected.items():
        if name == "images":
            np.testing.assert_array_equal(answer[name], value)
        else:
            assert np.asarray(answer[name]).dtype == np.float32
            np.testing.assert_allclose(answer[name], value, rtol=1e-5)


def check_loaders(exported, tmp_path, python=ALL, session=ALL, cli=ALL):
    """The answers of the Python loader, of a plain session and of `saved_model_cli`, each for
    the signatures named."""
    loaded = tf.saved_model.load(exported.folder)
    assert set(loaded.signatures) == set(ALL)
    for name, given in exported.requests.items():
        if name not in (*python, *session, *cli):
            continue
        expected = exported.own_answer(name)
        if name in python:
            answer = loaded.signatures[name](**{key: tf.constant(v) for key, v in given.items()})
            assert_same({key: value.numpy() for key, value in answer.items()}, expected)
        if name in session:
            assert_same(exported.session(name, given), expected)
        if name in cli:
            assert_same(run_cli(exported.folder, name, given, tmp_path), expected)
    return loaded


def run_cli(folder, signature, given, tmp_path):
    """The answer of `saved_model_cli run`."""
    inputs, outputs = tmp_path / f"{signature}-inputs", tmp_path / f"{signature}-outputs"
    inputs.mkdir()
    for name, value in given.items():
        np.save(inputs / f"{name}.npy", value)
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run"]
    command += ["--dir", folder, "--tag_set", "serve", "--signature_def", signature]
    command += ["--inputs", ";".join(f"{name}={inputs}/{name}.npy" for name in given)]
    subprocess.run([*command, "--outdir", str(outputs)], check=True, capture_output=True)
    return {path.stem: np.load(path) for path in outputs.glob("*.npy")}


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """RGB, class-conditional, straight from the library. Of one stage: graphs of more for an
    unknown number of images are traced in test_graphs.py, and served by the slow tests."""
    model = make_model(image_shape=(7, 10, 3), num_classes=4, num_stages=1)
    folder = tmp_path_factory.mktemp("conditional") / "1"
    assert "serving_default" in export_saved_model(model, str(folder))
    return Exported(model, folder)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run on digits, as it is after three steps, exported by `train.export`."""
    directory = tmp_path_factory.mktemp("digits")
    random_run(directory / "run", load("digits"), seed=1, values=ONE_STAGE_RUN, step=3)
    with contextlib.closing(MetricsLog(str(directory / "run"), 3)) as log:
        log.write(3, **{"test/bits_per_dim": 2.5})
    folder = export(str(directory / "run"), str(directory / "models" / "pixelcnn"))
    averaged = load_run(str(directory / "run"))[2]
    exported = Exported(averaged, folder)
    exported.workdir = str(directory / "run")
    return exported


def test_conditional_by_every_loader(conditional, tmp_path):
    # The loader of a session is that of `saved_model_cli` too, which starts for seconds.
    loaded = check_loaders(conditional, tmp_path, session=["complete"], cli=[])
    # One request for three samples, or three requests for one each.
    whole = loaded.signatures["sample"](seeds=SEEDS, **conditional.labels)["images"]
    for i in range(3):
        labels = {name: value[i : i + 1] for name, value in conditional.labels.items()}
        single = loaded.signatures["sample"](seeds=SEEDS[i : i + 1], **labels)["images"]
        np.testing.assert_array_equal(single[0], whole[i])


def test_digits_by_every_loader(digits, tmp_path):
    check_loaders(digits, tmp_path, python=["score"], session=["score", "sample"], cli=[])


@pytest.mark.slow
def test_digits_at_another_size(digits, tmp_path):
    folder = export(digits.workdir, str(tmp_path / "models" / "wide"), height=5, width=12)
    wide = Exported(digits.model.at_size(5, 12), folder)
    loaded = tf.saved_model.load(folder)
    for name in ("score", "sample"):
        answer = loaded.signatures[name](**wide.requests[name])
        assert_same({key: value.numpy() for key, value in answer.items()}, wide.own_answer(name))


def test_signatures_name_their_inputs_and_outputs(session):
    inputs = session.signatures["complete"].inputs
    for name, dtype, shape in [
        ("images", tf.uint8, [None, 7, 10, 3]),
        ("mask", tf.uint8, [None, 7, 10]),
        ("seeds", tf.int32, [None, 2]),
        ("labels", tf.int32, [None]),
    ]:
        assert inputs[name].dtype == dtype.as_datatype_enum
        assert tf.TensorShape(inputs[name].tensor_shape).as_list() == shape
    assert set(session.signatures["score"].outputs) == {"bits_per_dim", "log_prob"}


@pytest.mark.parametrize(
    ("signature", "changes", "message"),
    [
        ("score", {"images": np.zeros([3, 16, 10, 3], np.uint8)}, r"\[batch 7 10 3\]"),
        ("score", {"images": np.zeros([7, 10, 3], np.uint8)}, r"\[batch 7 10 3\]"),
        ("score", {"images": np.zeros([3, 7, 10, 3], np.float32)}, "uint8"),
        ("score", {"images": np.zeros([2, 7, 10, 3], np.uint8)}, "batch size of images.*3 2"),
        ("score", {"images": np.zeros([0, 7, 10, 3], np.uint8)}, "must not be empty"),
        ("score", {"labels": np.array([0, 4, 1], np.int32)}, "labels: must be in 0 ... 3"),
        ("score", {"labels": np.array([0, -1, 1], np.int32)}, "labels: must be in 0 ... 3"),
        ("score_map", {"labels": np.array([[0], [1], [2]], np.int32)}, r"labels.*\[batch\]"),
        ("sample", {"seeds": np.zeros([3, 3], np.int32)}, r"seeds.*\[batch 2\]"),
        ("complete", {"mask": np.zeros([3, 7, 8], np.uint8)}, r"mask.*\[batch 7 10\]"),
        ("complete", {"mask": np.full([3, 7, 10], 2, np.uint8)}, "mask: must be in 0 ... 1"),
    ],
)
def test_bad_requests_say_what_was_expected(conditional, session, signature, changes, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message.removeprefix("--")):
        session(signature, conditional.requests[signature] | changes)


@pytest.fixture(scope="module")
def session(conditional):
    return conditional.session


def test_levels_beyond_those_of_the_model_are_refused(digits):
    session_model = digits.session
    session_model("score", {"images": np.full([1, 8, 8, 1], 16, np.uint8)})
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"images: must be in 0 \.\.\. 16"):
        session_model("score", {"images": np.full([1, 8, 8, 1], 17, np.uint8)})


def test_the_warmup_requests_can_be_answered(digits):
    session_model = digits.session
    records = list(tf.data.TFRecordDataset(os.path.join(digits.folder, WARMUP_FILE)))
    answered = []
    for record in records:
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        assert request.model_spec.name == "pixelcnn"
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        outputs = session_model(request.model_spec.signature_name, inputs)
        assert all(np.isfinite(value).all() for value in outputs.values())
        answered.append(request.model_spec.signature_name)
    assert answered == ["score", "score_map"]


def test_what_lies_beside_the_version(digits):
    output = Path(digits.folder).parent
    assert sorted(os.listdir(output)) == [
        "1",
        "batching_parameters.txt",
        "model_card.json",
        "models.config",
    ]
    card = json.loads((output / "model_card.json").read_text())
    assert card == json.loads((output / "1" / "assets.extra" / "model_card.json").read_text())
    assert (card["step"], card["version"], card["dataset"]) == (3, 1, "digits")
    assert card["image_shape"] == [8, 8, 1] and card["num_levels"] == 17
    assert card["test"]["step"] == 3 and card["test"]["test/bits_per_dim"] == 2.5
    assert card["configuration"]["nr_filters"] == 4
    assert card["versions"]["tensorflow"] == tf.__version__


def test_versions_count_up_and_are_never_written_over(digits, monkeypatch):
    workdir = str(Path(digits.folder).parents[2] / "run")
    output = str(Path(digits.folder).parent)

    def make_folder(model, path, vq_vae):
        os.mkdir(path)
        return ["sample"]

    monkeypatch.setattr("pixelcnn_tf.export.export_saved_model", make_folder)
    monkeypatch.setattr("train.serving.serving.write_warmup", lambda *_: [])
    with pytest.raises(UserError, match=r"version=1: .* has it already"):
        export(workdir, output, version=1)
    with pytest.raises(UserError, match=r"version=0: must be at least 1"):
        export(workdir, output, version=0)
    assert export(workdir, output + "2", version=7).endswith("/7")
    assert export(workdir, output + "2").endswith("/8")


def test_an_export_that_fails_leaves_no_version(digits, tmp_path, monkeypatch):
    workdir = str(Path(digits.folder).parents[2] / "run")

    def fails(module, path, signatures):
        Path(path, "saved_model.pb").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fails)
    with pytest.raises(UserError, match=r"cannot be written .*No space left"):
        export(workdir, str(tmp_path / "pixelcnn"))
    assert os.listdir(tmp_path / "pixelcnn") == []


def test_energy_distance_is_sampled_but_not_scored(tmp_path):
    model = make_model(image_shape=(4, 4, 1), energy_distance=True, num_stages=1)
    exported = Exported(model, tmp_path / "1")
    assert export_saved_model(model, exported.folder) == ["sample", "complete"]
    exported.requests = {name: exported.requests[name] for name in ("sample",)}
    answer = SessionModel(exported.folder)("sample", exported.requests["sample"])
    assert_same(answer, exported.own_answer("sample"))
    with pytest.raises(ValueError, match="must be among sample, complete"):
        export_saved_model(model, str(tmp_path / "2"), names=["score"])
    assert list(signatures(model, names=["complete"])) == ["complete"]
    with pytest.raises(FileExistsError):
        export_saved_model(model, exported.folder)


GIVEN = ["gated_pixelcnn, small:2", "gated_pixelcnn, vector"]


@pytest.mark.parametrize(
    "name", [*FAMILY, *(pytest.param(name, marks=pytest.mark.slow) for name in GIVEN)]
)
def test_family_by_the_session_loader(name, tmp_path):
    network, _, condition = name.partition(", ")
    given = {"num_classes": 3} if name == "gated_pixelcnn" else {}
    given = {"condition": condition} if condition else given
    given = with_encoder(image_shape=(4, 5, 3), **given)
    model = small(network, **given, dtype="float32", nr_resnet=1)
    exported = Exported(model, tmp_path / "1")
    names = export_saved_model(model, exported.folder)
    assert len(names) == 5 + (condition == "vector")
    session_model = SessionModel(exported.folder)
    for signature in ("score", "complete", *(["embed"] if condition == "vector" else [])):
        answer = session_model(signature, exported.requests[signature])
        assert_same(answer, exported.own_answer(signature))
    if condition:
        requests = exported.requests["complete"]
        wrong = requests | {"condition": requests["condition"][:, :1]}
        with pytest.raises(tf.errors.InvalidArgumentError, match="condition: must have the shape"):
            session_model("complete", wrong)
    if condition == "vector":
        wrong = requests | {"condition": np.full([3, 3], np.nan, np.float32)}
        with pytest.raises(tf.errors.InvalidArgumentError, match="condition: must be finite"):
            session_model("complete", wrong)


def test_documented_clients(digits):
    """The REST and gRPC examples of docs/guides/serve.md, against a stand-in for TF Serving."""
    text = PAGE.read_text()
    session_model = digits.session
    body = re.search(r"curl .*?-d '(.*?)'", text, re.DOTALL)[1]
    with serve_rest(session_model) as port:
        url = f"http://localhost:{port}/v1/models/pixelcnn:predict"
        answer = json.load(urllib.request.urlopen(url, body.encode()))
        assert np.shape(answer["outputs"]) == (1, 8, 8, 1)
        wrong = json.dumps({"inputs": {"images": [[[[0]]]]}}).encode()
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(url, wrong)
        assert "must have the shape [batch 8 8 1]" in raised.value.read().decode()
        raised.value.close()
    client = re.search(r"```python\n(import grpc\n.*?)```", text, re.DOTALL)[1]
    with serve_grpc(session_model) as port:
        names = {}
        exec(client.replace("localhost:8500", f"localhost:{port}"), names)
        assert names["images"].shape == (2, 8, 8, 1)
        np.testing.assert_array_equal(names["images"][0], answer["outputs"][0])
        with pytest.raises(grpc.RpcError, match="must have the shape"):
            names["predict"]("score", images=np.zeros([1, 4, 4, 1], np.uint8))
        names["channel"].close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"image_shape": (12, 8, 3), "num_classes": 3},
        {"image_shape": (7, 10, 3), "num_classes": 4},
        {"image_shape": (8, 8, 1), "num_levels": 1000},
        {"image_shape": (4, 12, 1), "num_classes": 3, "resnet_nonlinearity": "elu"},
    ],
)
def test_more_models_by_every_loader(changes, tmp_path):
    exported = Exported(make_model(**changes), tmp_path / "1")
    export_saved_model(exported.model, exported.folder)
    check_loaders(exported, tmp_path)
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "show", "--all"]
    shown = subprocess.run(
        [*command, "--dir", exported.folder], check=True, capture_output=True, text=True
    ).stdout
    for name, given in exported.requests.items():
        described = shown.split(f"signature_def['{name}']")[1].split("signature_def[")[0]
        assert all(f"inputs['{key}']" in described for key in given)


@pytest.mark.slow
def test_paper_size_by_every_loader(tmp_path):
    model = make_model(image_shape=(32, 32, 3), nr_resnet=5, nr_filters=160, nr_logistic_mix=10)
    exported = Exported(model, tmp_path / "1")
    begin = time.monotonic()
    export_saved_model(model, exported.folder)
    written = time.monotonic()
    tf.saved_model.load(exported.folder)
    loaded = time.monotonic()
    SessionModel(exported.folder)
    done = time.monotonic()
    size = sum(path.stat().st_size for path in Path(exported.folder).rglob("*") if path.is_file())
    print(
        f"\npaper size: {size / 1e6:.1f} MB, export {written - begin:.1f} s, "
        f"load {loaded - written:.1f} s, load in a session {done - loaded:.1f} s"
    )
    check_loaders(exported, tmp_path, cli=["score"])


@pytest.mark.slow
def test_an_export_killed_at_any_moment_leaves_no_half_version(digits, tmp_path):
    workdir = str(tmp_path / "run")  # of three stages, as the program of the process has
    train(config_of(workdir, SMALLEST_RUN, max_steps=1, num_samples=0))
    output = tmp_path / "pixelcnn"
    command = [sys.executable, "-m", "train.export", "--workdir", workdir, "--output", str(output)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    begin = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    duration = time.monotonic() - begin
    moments = [duration * part for part in (0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 1.0, 1.02)]
    for moment in moments:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for version in (name for name in os.listdir(output) if name.isdigit()):
            SessionModel(output / version)("score", {"images": digits.images})
