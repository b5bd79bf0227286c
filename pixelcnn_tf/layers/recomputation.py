"""Gradient checkpointing: less memory, more time (Chen et al. 2016).

The official code marks the output of every gated residual block as a checkpoint
(`tf.add_to_collection('checkpoints', ...)` in `model_spec`). Here only the inputs of each block are
kept, and the backward pass recomputes the block from them.
"""

import tensorflow as tf


def recomputed(layer, dropout, x, a, h):
    """Runs a gated residual block, which the backward pass recomputes.

    The dropout mask is a function of seeds, so it is the same both times. The normalised weights
    are inputs of the recomputed function: they are computed once, and the variables are used only
    outside of it, so their gradients work under every `tf.distribute` strategy.

    Args:
      layer: a `GatedResnet`.
      dropout: its dropout function, or None.
      x: `[B, H, W, filters]`.
      a: auxiliary input, a tuple of tensors.
      h: conditioning vector `[B, D]`, map `[B, H, W, D]`, or None.

    Returns:
      `[B, H, W, filters]`, as `layer(x, a=a, h=h, dropout=dropout)`.
    """
    inputs = {"x": x, "a": a, "h": h, "weights": layer.effective_weights()}
    inputs = {name: value for name, value in inputs.items() if value is not None}

    @tf.recompute_grad
    def block(*tensors):
        return layer(**tf.nest.pack_sequence_as(inputs, tensors), dropout=dropout)

    return block(*tf.nest.flatten(inputs))
