"""Gradient checkpointing: less memory for more time (Chen et al. 2016).

The official code marks the output of every gated residual block as a checkpoint
(`tf.add_to_collection('checkpoints', ...)` in `model_spec`). Here the backward pass computes the
inside of each block again from the block's inputs, which are all that is kept.
"""

import tensorflow as tf


def recomputed(layer, dropout, x, a, h):
    """Runs a gated residual block, whose inside is computed again for the backward pass.

    The dropout mask is a function of seeds, so it comes out the same. The normalised weights are
    inputs of what is recomputed: they are computed once, and the variables are used outside
    alone, where every `tf.distribute` strategy finds their gradients.

    Args:
      layer: a `GatedResnet`.
      dropout: its dropout function, or None.
      x: `[B, H, W, filters]`.
      a: auxiliary input, a tuple of tensors.
      h: conditioning vector `[B, num_classes]`, or None.

    Returns:
      `[B, H, W, filters]`, as `layer(x, a=a, h=h, dropout=dropout)`.
    """
    inputs = {"x": x, "a": a, "h": h, "weights": layer.effective_weights()}
    inputs = {name: value for name, value in inputs.items() if value is not None}

    @tf.recompute_grad
    def block(*tensors):
        return layer(**tf.nest.pack_sequence_as(inputs, tensors), dropout=dropout)

    return block(*tf.nest.flatten(inputs))
