"""The official names of the variables, in the official creation order."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from pixelcnn_tf.layers.gated_resnet import GatedResnet
from pixelcnn_tf.layers.heads import EnergyHead, MixtureHead
from pixelcnn_tf.layers.input_streams import HorizontalInput, VerticalInput
from pixelcnn_tf.layers.shifted_convolutions import Nin, ShiftedConv2D, ShiftedConv2DTranspose
from pixelcnn_tf.likelihoods.discretized_mix_logistic import OUTPUTS_PER_MIX

SCOPE = "model"  # official train.py: tf.make_template('model', model_spec)


def _parts(layer):
    """The weight-normalised layers of a layer of the walk, in the official creation order."""
    if isinstance(layer, GatedResnet):
        # hw follows conv_gate if it exists; see named_variables.
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


def named_variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Official name -> Keras variable, in the official creation order.

    Names as in the official checkpoint: `model/conv2d_0/V`, `.../g`, `.../b`,
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


def check_values(model: keras.Model, values: Mapping[str, np.ndarray]) -> None:
    """Checks that arrays fit the model's variables by their official names.

    Args:
      model: a `PixelCNNPlusPlus`.
      values: dict official name -> array.

    Raises:
      ValueError: naming every entry that is missing, left over or of a wrong shape.
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
        raise ValueError("values: do not fit the model: " + "; ".join(problems))


def assign_variables(model: keras.Model, values: Mapping[str, np.ndarray]) -> None:
    """Assigns arrays to the model's variables by their official names, atomically.

    Args:
      model: a `PixelCNNPlusPlus`.
      values: dict official name -> array, exactly the variables of the model.

    Raises:
      ValueError: see `check_values`; nothing is assigned then.
    """
    check_values(model, values)
    for name, variable in named_variables(model).items():
        variable.assign(values[name])


def infer_configuration(shapes: Mapping[str, Sequence[int]]) -> dict:
    """The arguments of `PixelCNNPlusPlus` that the shapes of official variables imply.

    Args:
      shapes: dict official name -> shape of the weights.

    Returns:
      dict of `nr_resnet`, `nr_filters`, `nr_logistic_mix`, `resnet_nonlinearity` ("elu" stands for
      elu or relu, whose shapes are the same), `num_classes`, `energy_distance` and `channels`.

    Raises:
      ValueError: if the shapes do not belong to an official model, which has 3 stages.
    """

    def shape(name):
        if f"{SCOPE}/{name}" not in shapes:
            raise ValueError(f"shapes: {SCOPE}/{name} is missing")
        return tuple(shapes[f"{SCOPE}/{name}"])

    def count(kind):
        return sum(name.startswith(f"{SCOPE}/{kind}_") and name.endswith("/V") for name in shapes)

    # Convolutions: 3 of the inputs, 4 downsampling, 2 in each of 2 (3 n + 3 n + 2) blocks; dense
    # layers: one per block with a shortcut or auxiliary input, and the head's.
    convolutions, dense = count("conv2d"), count("dense")
    nr_resnet, rest = divmod(convolutions - 15, 24)
    if rest or nr_resnet < 1:
        raise ValueError(f"shapes: must have 24 * nr_resnet + 15 convolutions, got {convolutions}")
    head = dense - (9 * nr_resnet + 4)
    if head not in (1, 4):
        raise ValueError(
            f"shapes: with nr_resnet={nr_resnet} must have {9 * nr_resnet + 5} dense layers, or "
            f"{9 * nr_resnet + 8} with energy_distance, got {dense}"
        )
    _, _, inputs, nr_filters = shape("conv2d_0/V")
    outputs = shape(f"dense_{dense - 1}/V")[1]
    outputs_per_mix = OUTPUTS_PER_MIX.get(inputs - 1)
    if outputs_per_mix is None or (head == 1 and outputs % outputs_per_mix):
        raise ValueError(
            f"shapes: {inputs - 1} channels with {outputs} outputs; must be 3 channels with "
            "10 * nr_logistic_mix or 1 channel with 3 * nr_logistic_mix"
        )
    conditional = any("/conditional_weights_" in name for name in shapes)
    doubled = shape("conv2d_3/V")[2] == 2 * nr_filters
    return {
        "nr_resnet": nr_resnet,
        "nr_filters": nr_filters,
        "nr_logistic_mix": outputs // outputs_per_mix if head == 1 else 10,
        "resnet_nonlinearity": "concat_elu" if doubled else "elu",
        "num_classes": shape("conditional_weights_0/hw")[0] if conditional else None,
        "energy_distance": head == 4,
        "channels": inputs - 1,
    }
