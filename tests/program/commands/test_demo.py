"""`train.demo` without its page: what it answers, takes and refuses. tests/browser has the page."""

import json
import os
import socket

import numpy as np
import pytest
from calls import refusal
from PIL import Image
from small import load_run, random_levels, random_run, write_config

import train.demo.__main__ as demo_command
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from train.config.presets import from_values
from train.data.description import DataDescription
from train.data.load import load
from train.demo import canvas
from train.demo.answers import COMPLETIONS, Answers
from train.demo.app import Demo
from train.demo.uploads import MAX_PIXELS, read_upload
from train.errors import UserError
from train.run import Run, config_json

DIGITS = DataDescription((8, 8, 1), 17, 10)
GREY = DataDescription((6, 4, 1), 256, None)
COLOURS = DataDescription((5, 5, 3), 9, None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A class-conditional run on the digits, whose data is gone."""
    folder = tmp_path_factory.mktemp("run")
    return random_run(folder, DIGITS, 1, class_conditional=True, dataset="folder:/gone")


@pytest.fixture(scope="module")
def demo(run):
    answers = Answers(load_run(str(run))[2])
    return Demo(answers, Run.open(str(run)), load("digits").eval.images[:3])


def test_an_answer_keeps_what_is_known_and_costs_what_the_model_says(demo):
    levels, model = demo.examples[0], demo.answers.model
    known = np.zeros([8, 8], bool)
    known[:4] = True
    answer = demo.answers(levels, known, label=3, seed=5)
    assert answer.images.shape == (COMPLETIONS, 8, 8, 1)
    np.testing.assert_array_equal(answer.images[:, :4], levels[None, :4].repeat(COMPLETIONS, 0))
    assert len({image.tobytes() for image in answer.images}) > 1
    labels = [3] * COMPLETIONS
    values = levels_to_input(levels[None].repeat(COMPLETIONS, 0), 17)
    expected = model.complete(values, known, 5, labels)
    np.testing.assert_array_equal(answer.images, input_to_levels(expected, 17))
    nats = model.log_prob(expected, labels)
    np.testing.assert_allclose(answer.bits_per_dim(), -nats / (64 * np.log(2)), rtol=1e-5)
    whole = demo.answers(levels, np.ones([8, 8], bool), label=3)
    assert len(whole.images) == 1
    np.testing.assert_array_equal(whole.images[0], levels)


def test_nothing_is_traced_anew(demo):
    """Whatever temperature, class, seed and mask: an answer comes from what was compiled."""
    demo.answers.warm_up()
    made = vars(demo.answers.model.sampling_functions)
    functions = [demo.answers._bits, *made.values(), made["weights"].traced]
    functions = [f for f in functions if hasattr(f, "experimental_get_tracing_count")]
    before = [f.experimental_get_tracing_count() for f in functions]
    assert len(functions) == 3 and all(before)
    for number in range(4):
        known = np.random.default_rng(number).random([8, 8]) < 0.5
        value = canvas.to_value(demo.examples[number % 3], known)
        text, seed = demo.answer(value, 0.5 + number / 7, number, number)
        assert text.count("<img") == COMPLETIONS and seed == number + 1
    assert [f.experimental_get_tracing_count() for f in functions] == before


def test_the_page_answer_has_words_for_its_pictures(demo):
    text, _ = demo.answer(canvas.to_value(demo.examples[1]), 1.0, 0, 1)
    assert text.count("<img") == 1 and 'alt="The image and its bits-per-pixel map, ' in text
    assert "4.09 bits per pixel and more" in text  # log2(17)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0.0, 0, 1), "temperature 0.0: must be from 0.1 to 2.0"),
        ((float("nan"), 0, 1), "temperature nan"),
        (("1", 0, 1), "temperature 1: must"),
        ((1.0, 10, 1), "class 10: must be an integer from 0 to 9"),
        ((1.0, 0.5, 1), "class 0.5"),
        ((1.0, 0, -1), "seed -1: must be an integer from 0 to 2147483647"),
        ((1.0, 0, None), "seed None"),
        ((1.0, 0, 0.5), "seed 0.5"),
        ((1.0, 0, float("nan")), "seed nan"),
        ((1.0, 0, float("inf")), "seed inf"),
        ((1.0, 0, "x"), "seed x"),
    ],
)
def test_settings_out_of_range(demo, arguments, message):
    with pytest.raises(UserError, match=message.removeprefix("--")):
        demo.answer(canvas.to_value(demo.examples[0]), *arguments)


def test_examples_go_round(demo):
    value, number = demo.example(0)
    assert number == 1 and demo.example(3)[0] == value != demo.example(1)[0]


@pytest.mark.parametrize("data", [DIGITS, GREY, COLOURS])
def test_the_canvas_takes_an_image_and_gives_it_back(data):
    levels = random_levels(*data.image_shape, num_levels=data.num_levels)
    known = np.random.default_rng(1).random(data.image_shape[:2]) < 0.5
    found, there = canvas.of_value(canvas.to_value(levels, known), data)
    np.testing.assert_array_equal(found, levels)
    np.testing.assert_array_equal(there, known)
    script = canvas.parts(data)["js_on_load"]
    assert f"height = {data.image_shape[0]}, width = {data.image_shape[1]}," in script
    assert not any(name in script for name in ("HEIGHT", "WIDTH", "CHANNELS", "TOP", "NOT_GIVEN"))


def changed(**changes):
    return json.dumps({"levels": [0] * 24, "known": [1] * 24} | changes)


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        "",
        "{}",
        "[]",
        "null",
        "[" * 200,
        "x" * 10_000_000,
        changed(levels=[0] * 23),
        changed(levels=[256] + [0] * 23),
        changed(levels=[-1] + [0] * 23),
        changed(levels=[10**30] * 24),
        changed(levels=[0.5] * 24),
        changed(levels=[[0]] * 24),
        changed(levels=["0"] * 24),
        changed(levels="0" * 24),
        changed(known=[2] * 24),
        changed(known=None),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(value):
    with pytest.raises(UserError, match="canvas: not an image of 6 x 4 pixels and 256 levels"):
        canvas.of_value(value, GREY)


def saved_image(folder, pixels, name="a.png"):
    Image.fromarray(pixels).save(folder / name)
    return str(folder / name)


def run_on(data, **config):
    """A run on images of this description."""
    config = from_values({"dataset": "mnist", "config": "tiny"} | config)
    return Run(config, "", config_json.RunConfig(config, data, 1))


def test_an_upload_becomes_one_of_the_runs_images(tmp_path):
    def read(pixels, data, **config):
        return read_upload(saved_image(tmp_path, pixels), "a.png", run_on(data, **config))

    same = random_levels(6, 4)
    levels, changes = read(same, GREY)
    np.testing.assert_array_equal(levels[..., 0], same)
    assert changes == [] and levels.dtype == np.uint8
    wide = np.zeros([6, 20], np.uint8)
    wide[:, 8:12] = same  # the middle, which is kept
    levels, changes = read(wide, GREY)
    np.testing.assert_array_equal(levels[..., 0], same)
    assert changes == ["cropped to its middle"]
    levels, changes = read(np.full([12, 8, 3], (255, 0, 0), np.uint8), GREY)
    assert (levels == 76).all() and levels.shape == (6, 4, 1)  # 0.299 of 255
    assert changes == ["turned to grey", "resized from 8 x 12 pixels"]
    levels, changes = read(np.full([5, 5], 255, np.uint8), COLOURS)
    assert (levels == 8).all() and levels.shape == (5, 5, 3) and changes == ["rounded to 9 levels"]
    # Quantised as the training images of such a run were, not rounded.
    levels, changes = read(np.full([5, 5], 250, np.uint8), COLOURS, quantize=9)
    assert (levels == 250 * 9 // 256).all() and changes == ["quantised to 9 levels"]
    ghost = np.zeros([6, 4, 4], np.uint8)  # black, transparent: white
    assert (read(ghost, GREY)[0] == 255).all()
    wide = Image.fromarray(np.full([6, 4], 40_000, np.uint16))
    wide.save(tmp_path / "wide.png")
    levels, changes = read_upload(str(tmp_path / "wide.png"), "wide.png", run_on(GREY))
    assert (levels == 156).all() and changes == ["rounded to 256 levels"]


def test_what_is_no_upload_is_refused_in_a_sentence_and_deleted(demo, tmp_path):
    side = 4097
    assert side**2 > MAX_PIXELS
    Image.new("1", (side, side)).save(tmp_path / "huge.png")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    for name, message in {
        "huge.png": "huge.png: has 4097 x 4097 pixels; at most 16,777,216 are read",
        "text.png": "text.png: not a readable image",
        "empty.png": "empty.png: not a readable image (empty)",
    }.items():
        with pytest.raises(UserError) as error:
            demo.upload(str(tmp_path / name), False)
        assert str(error.value).startswith(message) and str(tmp_path) not in str(error.value)
        assert not os.path.exists(tmp_path / name)
    with pytest.raises(UserError, match="no file was given"):
        demo.upload(None, False)


def test_an_upload_is_inverted_and_its_file_deleted(demo, tmp_path):
    path = saved_image(tmp_path, np.full([8, 8], 255, np.uint8))
    value, told = demo.upload(path, True)
    assert not canvas.of_value(value, DIGITS)[0].any()
    assert told == "a.png: rounded to 17 levels, inverted." and not os.path.exists(path)


def test_samples_are_the_examples_where_the_data_is_gone(run, demo, capsys):
    examples = demo_command.find_examples(Run.open(str(run)), demo.answers.model, "")
    assert len(examples) == COMPLETIONS and examples[0].shape == (8, 8, 1)
    assert "no test images (" in capsys.readouterr().out


@pytest.fixture
def with_gradio(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)


def test_what_is_refused(run, tmp_path, with_gradio):
    def told(*flags):
        return refusal(demo_command, f"--workdir={run}", *flags)

    assert "--workdir is missing" in refusal(demo_command)
    assert "no run here" in refusal(demo_command, f"--workdir={tmp_path}")
    assert told("--port=65536") == "--port=65536: must be from 0 to 65535"
    assert told("--host=no.such.host.invalid").startswith("--host=no.such.host.invalid: no address")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert told(f"--port={port}").startswith(
            f"--host=127.0.0.1 --port={port}: cannot be served"
        )
    config = Run.open(str(run)).saved.config
    write_config(config.replace(workdir=str(tmp_path)), DIGITS)
    assert refusal(demo_command, f"--workdir={tmp_path}", "--port=0").endswith("no checkpoint yet")
    energy = dict(model="pixelcnn_pp", energy_distance=True, num_head_filters=1024)
    write_config(config.replace(workdir=str(tmp_path), **energy), DIGITS)
    assert "no likelihood to show" in refusal(demo_command, f"--workdir={tmp_path}")
    config = config.replace(workdir=str(tmp_path), class_conditional=False)
    write_config(config.replace(condition="small:2"), DIGITS)
    assert "images given --condition=small:2, which" in refusal(
        demo_command, f"--workdir={tmp_path}"
    )
    write_config(config, DIGITS._replace(fingerprint="0123"))
    assert "models codes, which" in refusal(demo_command, f"--workdir={tmp_path}")


def test_a_missing_extra(run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'pixelcnn_tf[demo]'" in refusal(demo_command, f"--workdir={run}")
