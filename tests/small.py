"""Small models, images and runs that several tests share."""

import contextlib
import math
import os
import shutil
import subprocess
import sys
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.utils import naming

from train.config.config import Config
from train.config.models import make_model
from train.config.presets import from_values
from train.data.description import DataDescription
from train.main import train
from train.run import Run, config_json
from train.run.checkpoints import Checkpoints
from train.training.evaluation import Evaluation
from train.training.loop import Loop

SMALLEST = dict(nr_resnet=1, nr_filters=4, nr_logistic_mix=2)
# PixelCNN++ at full resolution only, for tests that do not depend on the U-Net: its sampler is
# traced in a fraction of the time.
ONE_STAGE = SMALLEST | dict(num_stages=1)
# A run of the smallest network; a test adds how long it is and what is written when.
SMALLEST_RUN = dict(config="tiny", nr_filters=4, nr_logistic_mix=2, init_batch_size=20)
ONE_STAGE_RUN = SMALLEST_RUN | dict(num_stages=1)
# The same of Gated PixelCNN, whose sampler is traced in a second.
GATED_RUN = dict(
    config="tiny", model="gated_pixelcnn", nr_resnet=1, nr_filters=4, num_head_filters=8
)


def small_encoder(image_shape, size=3):
    """A Keras model from images to vectors `[B, size]` of numbers around 1, the same at each
    call."""
    layers = keras.layers
    encoder = keras.Sequential([keras.Input(image_shape), layers.Flatten(), layers.Dense(size)])
    shape = encoder.layers[-1].kernel.shape
    kernel = tf.random.stateless_normal(shape, [1, size]) / math.sqrt(shape[0])
    encoder.layers[-1].kernel.assign(kernel)
    return encoder


def with_encoder(image_shape, **arguments):
    """Arguments of a model, among them its `image_shape`; for the condition "vector" a Keras
    model."""
    if arguments.get("condition") == "vector":
        arguments["condition"] = small_encoder(image_shape)
    return arguments | {"image_shape": image_shape}


def random_values(*shape, seed=1):
    """Floats in [-1, 1], any of them."""
    return tf.random.stateless_uniform(shape, [seed, 0], -1.0, 1.0)


def random_levels(*shape, num_levels=256, seed=0):
    """Integer levels, uint8 up to 256 of them, else int32."""
    dtype = np.uint8 if num_levels <= 256 else np.int32
    return np.random.default_rng(seed).integers(0, num_levels, shape).astype(dtype)


def config_of(workdir, values, **changes):
    """The `Config` of a run in `workdir`."""
    return from_values(values | {"workdir": str(workdir)} | changes)


def run_of(config):
    """The `Run` that training of this configuration would make or resume, without a lock."""
    workdir = config.workdir
    exists = os.path.exists(os.path.join(workdir, config_json.NAME))
    return Run(config, workdir, Run.open(workdir).saved if exists else None)


def write_config(config, data, **others):
    """Writes the `config.json` of a run on a `Dataset` or data of a `DataDescription`."""
    os.makedirs(config.workdir, exist_ok=True)
    others = dict(versions=config_json.versions()) | others
    data = DataDescription(*(getattr(data, field) for field in DataDescription._fields))
    saved = config_json.RunConfig(config, data, config.batch_size, **others)
    config_json.write(config.workdir, saved)


class LoadedRun(NamedTuple):
    """A run's configuration, models and step."""

    config: Config
    raw: keras.Model | None
    averaged: keras.Model
    step: int


def load_run(workdir):
    """Opens a run and loads its models."""
    run = Run.open(workdir)
    averaged = run.model()
    raw = run.model(averaged=False) if run.has_raw_weights else None
    return LoadedRun(run.config, raw, averaged, run.step)


def copy_run(source, target):
    """Copies a run's folder into one that exists."""
    shutil.copytree(source, target, dirs_exist_ok=True)


def fresh_names():
    """Layers are numbered from the beginning, as in a new process. `keras.utils.clear_session`
    does that too, and forgets all kernels."""
    naming.reset_uids()


def run_training(config):
    """`train`, as in a new process: the names of layers decide the order of some sums, so only
    runs with the same names are equal to the last bit."""
    fresh_names()
    return train(config)


@contextlib.contextmanager
def without_scores():
    """Within it, a training scores nothing, for tests that do not look at its scores: the two
    functions that evaluate are traced as long as a step of a small network."""

    def evaluate(self):
        return {name: Evaluation(1.0, {self.metric: 1.0}) for name in self.evaluations}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "evaluate", evaluate)
        yield


def run_program(name, *arguments):
    """`python -m train.<name>` with arguments; its result, with output and errors as text."""
    command = [sys.executable, "-m", f"train.{name}", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def random_run(workdir, data, seed, values=GATED_RUN, step=0, **changes):
    """A run at this step of a network with random weights, all drawn here."""
    workdir.mkdir(exist_ok=True)
    config = from_values(values | {"workdir": str(workdir)} | changes)
    write_config(config, data)
    models = [make_model(config, data) for _ in range(2)]
    for number, model in enumerate(models):
        for place, variable in enumerate(model.trainable_variables):
            noise = tf.random.stateless_normal(variable.shape, [place, seed + number])
            variable.assign(noise / math.sqrt(math.prod(variable.shape[:-1]) or 1) * 2)
    Checkpoints(str(workdir), *models).save(step)
    return workdir
