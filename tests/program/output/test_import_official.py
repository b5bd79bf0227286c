"""The official program's own checkpoint, imported and written again."""

import numpy as np
import pytest
import tensorflow as tf
from parity_data import DIRECTORY
from small import (
    copy_run,
    fresh_names,
    load_run,
    random_levels,
    without_scores,
    write_config,
)

from pixelcnn_tf import PixelCNNPlusPlus, discretized_mix_logistic_loss, official
from train.config.presets import from_values
from train.data.description import DataDescription
from train.errors import UserError
from train.import_official import export_checkpoint, import_checkpoint
from train.main import train
from train.run import Run
from train.serving import official_checkpoint

CHECKPOINT = str(DIRECTORY / "official_checkpoint" / "params_cifar.ckpt")


def tensors_of(path):
    reader = tf.train.load_checkpoint(str(path))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def write(path, tensors):
    names = list(tensors)
    values = [tf.constant(tensors[name]) for name in names]
    tf.raw_ops.SaveV2(
        prefix=str(path), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
    )


def do_import(path, workdir, **options):
    fresh_names()  # as in a process of its own
    defaults = dict(dataset="cifar10", image_size=32, resnet_nonlinearity=None, batch_size=16)
    import_checkpoint(str(path), str(workdir), **(defaults | options))


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The run of the official checkpoint, with a data set of random images."""
    folder = tmp_path_factory.mktemp("official")
    images = random_levels(32, 32, 32, 3)
    np.savez(folder / "set.npz", x_train=images, x_test=images[:4])
    do_import(CHECKPOINT, folder / "run", dataset=str(folder / "set.npz"))
    return folder / "run"


@pytest.fixture(scope="module")
def loaded(imported):
    return load_run(str(imported))


@pytest.mark.parametrize("kind", ["raw", "averaged"])
def test_outputs_are_the_official_ones(loaded, kind):
    config, raw, averaged, step = loaded
    assert (config.nr_resnet, config.nr_filters, config.nr_logistic_mix) == (1, 8, 3)
    assert config.resnet_nonlinearity == "concat_elu" and not config.class_conditional
    assert step == 19  # the checkpoint's t is 20
    with np.load(DIRECTORY / "official_checkpoint" / "expected.npz") as expected:
        images = ((expected["x_uint8"] - 127.5) / 127.5).astype(np.float32)
        output = {"raw": raw, "averaged": averaged}[kind](images)
        reference = expected[f"output_{kind}"]
        assert np.abs(output - reference).max() <= 1e-5 * np.abs(reference).max()
        loss = discretized_mix_logistic_loss(images, output, sum_all=False)
        np.testing.assert_allclose(loss, expected[f"loss_per_image_{kind}"], rtol=1e-5)


def test_round_trip_changes_nothing(imported, tmp_path):
    export_checkpoint(str(imported), str(tmp_path / "params.ckpt"), batch_size=16, nr_gpu=1)
    original, written = tensors_of(CHECKPOINT), tensors_of(tmp_path / "params.ckpt")
    assert written.keys() == original.keys()
    for name, value in original.items():
        assert written[name].dtype == value.dtype
        np.testing.assert_array_equal(written[name], value, err_msg=name)


def test_training_goes_on(imported, tmp_path):
    copy_run(imported, tmp_path)
    config = Run.open(str(imported)).saved.config
    with without_scores():
        train(config.replace(workdir=str(tmp_path), max_steps=20, num_samples=0))
    newest = tf.train.latest_checkpoint(str(tmp_path / "checkpoints"))
    assert newest.endswith("step-20")
    iterations = tf.train.load_variable(newest, "optimizer/0/.ATTRIBUTES/VARIABLE_VALUE")
    assert iterations == 20


def state_of(model, step=7):
    rng = np.random.default_rng(1)

    def random_values():
        return {
            name: rng.normal(size=variable.shape).astype(np.float32)
            for name, variable in official.named_variables(model).items()
        }

    first, second = random_values(), random_values()
    moments = {name: (first[name], second[name]) for name in first}
    return official_checkpoint.OfficialState(random_values(), random_values(), moments, step)


@pytest.mark.parametrize(
    "arguments",
    [
        dict(nr_resnet=2, nr_filters=4, nr_logistic_mix=2, num_classes=10),
        dict(nr_resnet=1, nr_filters=4, nr_logistic_mix=4, resnet_nonlinearity="elu"),
        dict(nr_resnet=1, nr_filters=4, energy_distance=True),
    ],
)
def test_other_sizes_and_class_conditional_on_several_gpus(arguments, tmp_path):
    model = PixelCNNPlusPlus((32, 32, 3), **arguments)
    state = state_of(model)
    path = str(tmp_path / "params.ckpt")
    official_checkpoint.write(path, state, model.num_classes, label_batch=3, nr_gpu=4)
    if model.num_classes:  # one label variable a GPU takes the first of the unnamed names
        tensors = tensors_of(path)
        np.testing.assert_array_equal(tensors["Variable_1"], [3, 4, 5])
        assert tensors["Variable_4"] == 8.0
    do_import(path, tmp_path / "run")
    _, raw, averaged, step = load_run(str(tmp_path / "run"))
    assert step == 7
    assert raw.get_config() | {"name": ""} == model.get_config() | {"name": ""}
    for imported, values in ((raw, state.parameters), (averaged, state.averages)):
        for name, variable in official.named_variables(imported).items():
            np.testing.assert_array_equal(variable, values[name])
    again = str(tmp_path / "again.ckpt")
    export_checkpoint(str(tmp_path / "run"), again, batch_size=3, nr_gpu=4)
    written, original = tensors_of(again), tensors_of(path)
    assert written.keys() == original.keys()
    for name, value in original.items():
        np.testing.assert_array_equal(written[name], value, err_msg=name)


def test_checkpoint_without_adam_is_imported(tmp_path):
    tensors = {k: v for k, v in tensors_of(CHECKPOINT).items() if not k.startswith("Variable")}
    write(tmp_path / "bare.ckpt", tensors)
    do_import(tmp_path / "bare.ckpt", tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "step-0.index").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop("model/conv2d_7/b"), "model/conv2d_7/b"),
        (lambda t: t.pop("model/dense_3/g/ExponentialMovingAverage"), "missing: model/dense_3/g"),
        (lambda t: t.update({"model/conv2d_3/bias": np.zeros(3, "f")}), "model/conv2d_3/bias"),
        (lambda t: t.update({"model/dense_4/b": np.zeros(3, "f")}), "model/dense_4/b: shape"),
        (lambda t: t.update({"beta1_power": np.float32(1)}), "beta1_power"),
        (lambda t: t.pop("Variable_9"), "unnamed variables"),
        (lambda t: t.pop("model/conv2d_38/V"), "convolutions, got 38"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path, change, message):
    tensors = tensors_of(CHECKPOINT)
    change(tensors)
    write(tmp_path / "bad.ckpt", tensors)
    with pytest.raises(UserError, match=message.removeprefix("--")):
        do_import(tmp_path / "bad.ckpt", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_mistakes_are_told(imported, tmp_path):
    with pytest.raises(UserError, match="already holds a run"):
        do_import(CHECKPOINT, imported)
    with pytest.raises(UserError, match="cannot be read"):
        do_import(tmp_path / "none.ckpt", tmp_path / "run")


@pytest.mark.parametrize(
    "values, message",
    [
        ({"model": "pixelcnn"}, "--model=pixelcnn has no official form"),
        ({"condition": "small:2"}, "--condition=small:2 has no official form"),
        ({}, "has 17 levels; the official program supports 256 only"),
    ],
)
def test_what_has_no_official_form(tmp_path, values, message):
    config = from_values({"config": "tiny", "workdir": str(tmp_path)} | values)
    write_config(config, DataDescription((8, 8, 1), 17, 10))
    with pytest.raises(UserError, match=message.removeprefix("--")):
        export_checkpoint(str(tmp_path), str(tmp_path / "x.ckpt"), batch_size=16, nr_gpu=1)
