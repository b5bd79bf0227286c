"""`train.demo` without a browser: answers, uploads, invalid requests. See also tests/browser."""

import json
import os
import re
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
def uploads(tmp_path_factory):
    """The folder of uploads."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def demo(run, uploads):
    answers = Answers(load_run(str(run)).averaged)
    return Demo(answers, Run.open(str(run)), load("digits").eval.images[:3], str(uploads))


def test_answer_keeps_known_pixels_and_has_the_bits_of_the_model(demo):
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


def test_answers_are_not_traced_again(demo):
    """For any temperature, class, seed and mask."""
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
        assert text.count("<figure") == COMPLETIONS and seed == number + 1
    assert [f.experimental_get_tracing_count() for f in functions] == before


def test_answer_describes_its_images(demo):
    text, seed = demo.answer(canvas.to_value(demo.examples[1]), 1.0, 0, 1.0)
    assert isinstance(seed, int) and seed == 2
    assert text.count("<img") == 2 and 'label="The image and its bits-per-pixel map, ' in text
    assert "4.09 bits per pixel and more" in text  # log2(17)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0.0, 0, 1), "temperature must be a number from 0.1 to 2.0, got 0.0"),
        ((float("nan"), 0, 1), "temperature must be a number .* got nan"),
        (("1", 0, 1), "temperature must be a number .* got '1'"),
        ((1.0, 10, 1), "class must be an integer from 0 to 9, got 10"),
        ((1.0, 0.5, 1), "class must be an integer .* got 0.5"),
        ((1.0, 0, -1), "seed must be an integer from 0 to 2147483647, got -1"),
        ((1.0, 0, 2**31), "seed must be an integer .* got 2147483648"),
        ((1.0, 0, 10**400), "seed must be an integer .* got 1000"),
        ((1.0, 0, None), "seed must be an integer .* got None"),
        ((1.0, 0, 0.5), "seed must be an integer .* got 0.5"),
        ((1.0, 0, float("nan")), "seed must be an integer .* got nan"),
        ((1.0, 0, float("inf")), "seed must be an integer .* got inf"),
        ((1.0, 0, -float("inf")), "seed must be an integer .* got -inf"),
        ((1.0, 0, "x" * 10_000), "seed must be an integer .* got 'x"),
        ((1.0, 0, [1]), "seed must be an integer"),
    ],
)
def test_numbers_out_of_range_get_one_short_message(demo, arguments, message):
    with pytest.raises(UserError, match=message) as error:
        demo.answer(canvas.to_value(demo.examples[0]), *arguments)
    assert len(str(error.value)) < 120


def test_examples_repeat(demo):
    value, number = demo.example(0)
    assert number == 1 and demo.example(3)[0] == value != demo.example(1)[0]


@pytest.mark.parametrize("data", [DIGITS, GREY, COLOURS])
def test_canvas_keeps_an_image(data):
    levels = random_levels(*data.image_shape, num_levels=data.num_levels)
    known = np.random.default_rng(1).random(data.image_shape[:2]) < 0.5
    found, there = canvas.of_value(canvas.to_value(levels, known), data)
    np.testing.assert_array_equal(found, levels)
    np.testing.assert_array_equal(there, known)
    parts = canvas.parts(data)
    height, width, channels = data.image_shape
    constants = dict(height=height, width=width, channels=channels, top_level=data.num_levels - 1)
    for name, value in constants.items():
        assert f"const {name} = {value};" in parts["js_on_load"]
    assert ('type="range"' in parts["html_template"]) == (channels == 1)
    assert not re.search(r"\{[{%]", parts["html_template"] + parts["css_template"])


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
def test_canvas_rejects_other_values(value):
    with pytest.raises(UserError, match="canvas must be JSON .* 6 x 4 pixels and 256 levels"):
        canvas.of_value(value, GREY)


def saved_image(folder, pixels, name="a.png"):
    Image.fromarray(pixels).save(folder / name)
    return str(folder / name)


def run_on(data, **config):
    """A run on images of this description."""
    config = from_values({"dataset": "mnist", "config": "tiny"} | config)
    return Run(config, "", config_json.RunConfig(config, data, 1))


def test_upload_is_converted_to_the_images_of_the_run(tmp_path):
    def read(pixels, data, **config):
        return read_upload(saved_image(tmp_path, pixels), "a.png", run_on(data, **config))

    same = random_levels(6, 4)
    levels, changes = read(same, GREY)
    np.testing.assert_array_equal(levels[..., 0], same)
    assert changes == [] and levels.dtype == np.uint8
    wide = np.zeros([6, 20], np.uint8)
    wide[:, 8:12] = same  # the centre, which is kept
    levels, changes = read(wide, GREY)
    np.testing.assert_array_equal(levels[..., 0], same)
    assert changes == ["cropped to its centre"]
    levels, changes = read(np.full([12, 8, 3], (255, 0, 0), np.uint8), GREY)
    assert (levels == 76).all() and levels.shape == (6, 4, 1)  # 0.299 of 255
    assert changes == ["converted to grey", "resized from 8 x 12 pixels"]
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


def test_unreadable_upload_gets_a_message_and_is_deleted(demo, uploads):
    side = 4097
    assert side**2 > MAX_PIXELS
    Image.new("1", (side, side)).save(uploads / "huge.png")
    (uploads / "text.png").write_text("no image")
    (uploads / "empty.png").touch()
    for name, message in {
        "huge.png": "huge.png: has 4097 x 4097 pixels",
        "text.png": "text.png: not a readable image",
        "empty.png": "empty.png: not a readable image (empty)",
    }.items():
        with pytest.raises(UserError) as error:
            demo.upload(str(uploads / name), False)
        assert str(error.value).startswith(message) and str(uploads) not in str(error.value)
        assert not os.path.exists(uploads / name)
    for path in (None, "", 3, [str(uploads)]):
        with pytest.raises(UserError, match="no file was given"):
            demo.upload(path, False)


def test_upload_reads_and_deletes_no_other_files(demo, uploads, tmp_path):
    """Neither by their paths, nor through .., a link, or a folder with the same beginning."""
    outside = saved_image(tmp_path, np.zeros([8, 8], np.uint8))
    (uploads / "link.png").symlink_to(outside)
    beside = uploads.parent / (uploads.name + "-beside")
    beside.mkdir()
    other = saved_image(beside, np.zeros([8, 8], np.uint8))
    relative = os.path.join(uploads, os.path.relpath(outside, uploads))
    for path in (outside, relative, str(uploads / "link.png"), other, str(uploads)):
        with pytest.raises(UserError, match="not an uploaded file"):
            demo.upload(path, False)
    assert os.path.exists(outside) and os.path.exists(other)


def test_upload_is_inverted_and_its_file_deleted(demo, uploads):
    path = saved_image(uploads, np.full([8, 8], 255, np.uint8))
    value, message = demo.upload(path, True)
    assert not canvas.of_value(value, DIGITS)[0].any()
    assert message == "a.png: rounded to 17 levels, inverted." and not os.path.exists(path)


def test_name_of_an_upload_is_escaped(demo, uploads):
    path = saved_image(
        uploads, np.zeros([8, 8], np.uint8), "<img src=x onerror=alert(1)>[a](b).png"
    )
    _, message = demo.upload(path, False)
    assert message.startswith("&lt;img src=x onerror=alert(1)&gt;[a](b).png: ")


def test_examples_are_samples_without_the_data(run, demo, capsys):
    examples = demo_command.find_examples(Run.open(str(run)), demo.answers.model, "")
    assert len(examples) == COMPLETIONS and examples[0].shape == (8, 8, 1)
    assert "samples instead of test images: " in capsys.readouterr().out


@pytest.fixture
def with_gradio(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)


def test_demo_rejects_invalid_flags_and_runs(run, tmp_path, with_gradio):
    def message(*flags):
        return refusal(demo_command, f"--workdir={run}", *flags)

    assert "--workdir is missing" in refusal(demo_command)
    assert "no run here" in refusal(demo_command, f"--workdir={tmp_path}")
    assert "--port=65536" in message("--port=65536")
    assert message("--host=no.such.host.invalid").startswith("--host=no.such.host.invalid: not an")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert message(f"--port={port}").startswith(f"--port={port}: cannot serve at 127.0.0.1")
    config = Run.open(str(run)).saved.config
    write_config(config.replace(workdir=str(tmp_path)), DIGITS)
    assert refusal(demo_command, f"--workdir={tmp_path}", "--port=0").endswith("no checkpoint yet")
    energy = dict(model="pixelcnn_pp", energy_distance=True, num_head_filters=1024)
    write_config(config.replace(workdir=str(tmp_path), **energy), DIGITS)
    assert "energy distance" in refusal(demo_command, f"--workdir={tmp_path}")
    config = config.replace(workdir=str(tmp_path), class_conditional=False)
    write_config(config.replace(condition="small:2"), DIGITS)
    assert "--condition=small:2" in refusal(demo_command, f"--workdir={tmp_path}")
    write_config(config, DIGITS._replace(fingerprint="0123"))
    assert "models codes" in refusal(demo_command, f"--workdir={tmp_path}")


def test_missing_gradio(run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'pixelcnn_tf[demo]'" in refusal(demo_command, f"--workdir={run}")
