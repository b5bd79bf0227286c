"""The network run one row and one pixel at a time: the `run`s of the cached sampler.

The stages at half and quarter resolution are active only in every second or fourth row and column;
a layer of a stage that is not active returns None.
"""

import dataclasses

import tensorflow as tf

from pixelcnn_tf.layers.gated_resnet import GatedResnet
from pixelcnn_tf.layers.heads import EnergyHead, MixtureHead
from pixelcnn_tf.layers.input_streams import HorizontalInput, VerticalInput
from pixelcnn_tf.layers.nonlinearities import get_nonlinearity
from pixelcnn_tf.layers.shifted_convolutions import (
    DownRightShiftedConv2D,
    DownRightShiftedConv2DTranspose,
    DownShiftedConv2D,
    DownShiftedConv2DTranspose,
)
from pixelcnn_tf.sampling.pixelcnn_pp import horizontal_layers as horizontal
from pixelcnn_tf.sampling.pixelcnn_pp import vertical_layers as vertical
from pixelcnn_tf.sampling.pixelcnn_pp.condition_maps import MAPS
from pixelcnn_tf.sampling.pixelcnn_pp.incremental_layer import from_left

INCREMENTAL = {
    VerticalInput: vertical.VerticalInputLayer,
    HorizontalInput: horizontal.HorizontalInputLayer,
    (GatedResnet, "vertical"): vertical.VerticalResnetLayer,
    (GatedResnet, "horizontal"): horizontal.HorizontalResnetLayer,
    DownShiftedConv2D: vertical.VerticalHalveLayer,
    DownRightShiftedConv2D: horizontal.HorizontalHalveLayer,
    DownShiftedConv2DTranspose: vertical.VerticalDoubleLayer,
    DownRightShiftedConv2DTranspose: horizontal.HorizontalDoubleLayer,
    MixtureHead: horizontal.MixtureHeadLayer,
    EnergyHead: horizontal.EnergyHeadLayer,
}


def incremental_layers(model):
    """The incremental form of every layer of a `PixelCNNPlusPlus`, in the order of its walk.

    Returns:
      dict layer -> `IncrementalLayer`.
    """
    layers = {}

    def run(layer, in_stage, a=None):
        kind = type(layer)
        kind = (kind, layer.stream) if kind is GatedResnet else kind
        name = f"{len(layers):03}"
        layers[layer] = INCREMENTAL[kind](layer, name, in_stage, nonlinearity)
        return layers[layer].stage

    nonlinearity = get_nonlinearity(model.resnet_nonlinearity, gradient=False)
    model.walk(0, run)
    return layers


def pack(values, layers):
    """Concatenates the values of several layers: `[..., sum of their channels]`.

    Args:
      values: name -> tuple of tensors.
      layers: list of `IncrementalLayer`.
    """
    return tf.concat([part for layer in layers for part in values[layer.name]], axis=-1)


def unpack(tensor, layers, kind):
    """The inverse of `pack`; `kind` is "prepared_sizes" or "cached_sizes"."""
    sizes = [getattr(layer, kind) for layer in layers]
    if not layers:
        return {}
    parts = iter(tf.split(tensor, [size for group in sizes for size in group], axis=-1))
    return {
        layer.name: tuple(next(parts) for _ in group)
        for layer, group in zip(layers, sizes, strict=True)
    }


def row_above(tensors, caching):
    """The inputs of the horizontal layers from the row above.

    Args:
      tensors: by stage, `[W, B, size]`, the packed values of its layers.
      caching: by stage, the layers.

    Returns:
      `(cached, cached_left)`, name -> tuple of `[W, B, C]`: the values at the pixel above, and at
      the pixel to its left.
    """
    cached, cached_left = {}, {}
    for layers, tensor in zip(caching, tensors, strict=True):
        cached |= unpack(tensor, layers, "cached_sizes")
        cached_left |= unpack(from_left(tensor), layers, "cached_sizes")
    return cached, cached_left


@dataclasses.dataclass
class RowPass:
    """The `run` of the part per row; its input is the image's two rows above.

    Attributes:
      layers: layer -> `IncrementalLayer`.
      weights: name -> normalised weights.
      conditions: name of a gated block -> `[B, 2 * F]`; or the row of a map at every stage, see
        `row_conditions`; empty for an unconditional model.
      state: name of a vertical layer -> its state, updated.
      cached, cached_left: the results of `row_above`.
      phase: row number modulo the period.
      not_first: 0.0 in row 0, else 1.0.
      prepared: name of a horizontal layer -> tuple of `[W, B, C]`, for `PixelPass`.
    """

    layers: dict
    weights: dict
    conditions: dict
    state: dict
    cached: dict
    cached_left: dict
    phase: int
    not_first: tf.Tensor
    prepared: dict = dataclasses.field(default_factory=dict)

    def active(self, stage):
        """Whether a stage is active in this row."""
        return self.phase % 2**stage == 0

    def condition(self, layer):
        """The condition's projection in a gated block, `[B, 2 * F]` or `[W, B, 2 * F]`, or None."""
        if MAPS in self.conditions:
            return layer.condition(self.conditions[MAPS][layer.stage])
        return self.conditions.get(layer.name)

    def __call__(self, layer, x, a=()):
        layer = self.layers[layer]
        if not self.active(min(layer.in_stage, layer.stage)):
            return None
        return layer.row(self, x, a)


@dataclasses.dataclass
class PixelPass:
    """The `run` of the part per pixel; its input is the image's pixel to the left.

    Attributes:
      layers, weights: as in `RowPass`.
      prepared: name of a horizontal layer -> tuple of the pixel's slices `[B, C]`.
      left: name of a horizontal layer -> its cached values at the pixel to the left.
      uniforms: uniform noise of the pixel, `[B, num_uniforms]`.
      row_phase, column_phase: row and column modulo the period.
      cached: name of a horizontal layer -> its values for the pixels to the right and below.
    """

    layers: dict
    weights: dict
    prepared: dict
    left: dict
    uniforms: tf.Tensor
    row_phase: int
    column_phase: int
    cached: dict = dataclasses.field(default_factory=dict)

    def active(self, stage):
        """Whether a stage is active at this pixel."""
        return self.row_phase % 2**stage == 0 and self.column_phase % 2**stage == 0

    def __call__(self, layer, x, a=()):
        layer = self.layers[layer]
        if not self.active(min(layer.in_stage, layer.stage)):
            return None
        return layer.pixel(self, x, a)
