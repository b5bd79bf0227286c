"""The official code's names for our variables, in the official creation order."""

import numpy as np

from pixelcnn_tf.energy_distance import EnergyHead
from pixelcnn_tf.gated_resnet import GatedResnet
from pixelcnn_tf.input_streams import HorizontalInput, VerticalInput
from pixelcnn_tf.model import MixtureHead
from pixelcnn_tf.shifted_convolutions import Nin, ShiftedConv2D, ShiftedConv2DTranspose

SCOPE = "model"  # official train.py: tf.make_template('model', model_spec)


def _parts(layer):
    """The weight-normalised layers of a layer of the walk, in the official creation order."""
    if isinstance(layer, GatedResnet):
        # hw, if any, follows conv_gate; see named_variables.
        return [part for part in (layer.conv_in, layer.nin, layer.conv_gate) if part is not None]
    if isinstance(layer, VerticalInput):
        return [layer.above]
    if isinstance(layer, HorizontalInput):
        return [layer.above, layer.left]
    if isinstance(layer, MixtureHead):
        return [layer.nin]
    if isinstance(layer, EnergyHead):
        return [layer.nin_features, layer.nin_noise, layer.nin_hidden, layer.nin_out]
    return [layer]


def _kind(layer):
    """The official `get_name` prefix of a weight-normalised layer."""
    if isinstance(layer, Nin):
        return "dense"
    if isinstance(layer, ShiftedConv2DTranspose):
        return "deconv2d"
    assert isinstance(layer, ShiftedConv2D), layer
    return "conv2d"


def named_variables(model):
    """Official name -> Keras variable, in the official creation order.

    Names are those of the official checkpoint: `model/conv2d_0/V`, `.../g`, `.../b`,
    `model/deconv2d_0/...`, `model/dense_0/...`, `model/conditional_weights_0/hw`.

    Args:
      model: a `PixelCNNPlusPlus`.

    Returns:
      dict of every trainable variable of the model.
    """
    layers = []
    model.walk(None, lambda layer, x, a=None: layers.append(layer))

    counters = {}
    variables = {}

    def add(kind, leaves):
        number = counters.setdefault(kind, 0)
        counters[kind] += 1
        for leaf, variable in leaves.items():
            variables[f"{SCOPE}/{kind}_{number}/{leaf}"] = variable

    for layer in layers:
        for part in _parts(layer):
            add(_kind(part), {"V": part.V, "g": part.g, "b": part.b})
        if isinstance(layer, GatedResnet) and layer.hw is not None:
            add("conditional_weights", {"hw": layer.hw})
    return variables


def assign_variables(model, values):
    """Assigns arrays to the model's variables by their official names, all or none.

    Args:
      model: a `PixelCNNPlusPlus`.
      values: dict official name -> array, every variable of the model and nothing else.

    Raises:
      ValueError: naming every entry that is missing, left over or of a wrong shape; then
        nothing is assigned.
    """
    variables = named_variables(model)
    problems = [f"missing: {name}" for name in variables if name not in values]
    problems += [f"not in the model: {name}" for name in values if name not in variables]
    problems += [
        f"{name}: shape {np.shape(values[name])}, the model has {tuple(variable.shape)}"
        for name, variable in variables.items()
        if name in values and np.shape(values[name]) != tuple(variable.shape)
    ]
    if problems:
        raise ValueError("values do not fit the model: " + "; ".join(problems))
    for name, variable in variables.items():
        variable.assign(values[name])
