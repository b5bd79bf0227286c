"""Checkpoints of the official program (TensorFlow 1), read and written."""

import os
import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn_tf import PixelCNNPlusPlus, official
from train.errors import ArgumentError, reason
from train.files import move_into_place

AVERAGE = "/ExponentialMovingAverage"  # tf.train.ExponentialMovingAverage's name of a shadow
# nn.adam_updates gave its slots no names: they are `Variable`, `Variable_1`, ... in the order of
# creation. In a class-conditional program the label variables of the sampler, integers, come first.
UNNAMED = re.compile(r"Variable(?:_(\d+))?$")

FILE_ENDING = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


class OfficialState(NamedTuple):
    """What an official checkpoint holds, by official names; see `read`."""

    parameters: dict  # name -> array
    averages: dict  # name -> array
    moments: dict | None  # name -> (first, second) moment of Adam, None if there are none
    step: int  # updates done


def read(path: str) -> OfficialState:
    """Reads a checkpoint written by the official `train.py`.

    Args:
      path: the prefix, such as `params_cifar.ckpt`, or the name of one of its files.

    Returns:
      `OfficialState`.

    Raises:
      UserError: if it cannot be read, or holds something else, naming what.
      ValueError: if its parameters or averages are not those of an official model, naming which.
    """
    prefix = FILE_ENDING.sub("", path)
    try:
        reader = tf.train.load_checkpoint(prefix)
        tensors = {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}
    except Exception as error:  # TensorFlow's readers raise half a dozen types
        raise ArgumentError("checkpoint", path, f"cannot be read ({reason(error)})") from None
    unnamed, parameters, averages, others = {}, {}, {}, []
    for name, value in tensors.items():
        match = UNNAMED.fullmatch(name)
        if match:
            unnamed[int(match[1] or 0)] = value
        elif name.startswith(official.SCOPE + "/") and name.endswith(AVERAGE):
            averages[name.removesuffix(AVERAGE)] = value
        elif name.startswith(official.SCOPE + "/"):
            parameters[name] = value
        else:
            others.append(name)
    if others:
        strange = ", ".join(others[:5])
        raise ArgumentError("checkpoint", path, f"not of the official program: {strange}")
    slots = [value for _, value in sorted(unnamed.items()) if value.dtype.kind == "f"]
    model = build_model(parameters)
    official.check_values(model, parameters)
    official.check_values(model, averages)
    moments, step = _adam(path, list(official.named_variables(model)), parameters, slots)
    return OfficialState(parameters, averages, moments, step)


def _adam(path, names, parameters, slots):
    """`(moments, step)` from the unnamed floats: t, then second and first of each parameter."""
    if not slots:
        return None, 0
    expected = [(), *(parameters[name].shape for name in names for _ in range(2))]
    if [slot.shape for slot in slots] != expected:
        raise ArgumentError(
            "checkpoint",
            path,
            f"its {len(slots)} unnamed variables are not Adam's t and two "
            f"moments of each of {len(names)} parameters",
        )
    second, first = slots[1::2], slots[2::2]
    moments = {name: (first[i], second[i]) for i, name in enumerate(names)}
    return moments, round(float(slots[0])) - 1  # t is 1 before the first update


def build_model(
    parameters: dict, image_size: int | None = None, resnet_nonlinearity: str | None = None
) -> PixelCNNPlusPlus:
    """The model that official parameters belong to, untrained; see `infer_configuration`."""
    shapes = {name: value.shape for name, value in parameters.items()}
    arguments = official.infer_configuration(shapes)
    channels = arguments.pop("channels")
    if resnet_nonlinearity:
        arguments["resnet_nonlinearity"] = resnet_nonlinearity
    side = image_size or 4
    return PixelCNNPlusPlus((side, side, channels), **arguments)


def write(
    path: str,
    state: OfficialState,
    num_labels: int | None = None,
    label_batch: int = 16,
    nr_gpu: int = 1,
) -> None:
    """Writes a checkpoint that the official program can restore, whole or not at all.

    Args:
      path: the prefix.
      state: `OfficialState` with moments.
      num_labels: classes of a conditional model; the official program then expects the label
        variables of its sampler, one of `[label_batch]` for each of `nr_gpu` GPUs.
      label_batch, nr_gpu: see `num_labels`.

    Raises:
      OSError or one of TensorFlow's errors: if it cannot be written.
    """
    unnamed = []
    if num_labels:
        labels = np.mod(np.arange(label_batch * nr_gpu), num_labels)  # as in train.py
        unnamed += np.split(labels.astype(np.int64), nr_gpu)
    unnamed.append(np.float32(state.step + 1))
    for name in state.parameters:
        first, second = state.moments[name]
        unnamed += [second, first]
    tensors = dict(state.parameters)
    tensors |= {name + AVERAGE: value for name, value in state.averages.items()}
    tensors |= {f"Variable_{i}" if i else "Variable": value for i, value in enumerate(unnamed)}
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = path + ".tmp"
    endings = (".data-00000-of-00001", ".index")  # the latter last: without it there is none
    names = sorted(tensors)
    try:
        tf.raw_ops.SaveV2(
            prefix=temporary,
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.constant(tensors[name]) for name in names],
        )
        move_into_place(temporary, path, endings)
    except BaseException:
        # SaveV2 writes to other names first.
        folder, name = os.path.split(temporary)
        for entry in os.listdir(folder or "."):
            if entry.startswith(name):
                os.remove(os.path.join(folder, entry))
        raise
