"""Muon (Jordan et al. 2024) for the kernels of PixelCNN's residual blocks: each step is the nearest
orthogonal matrix to the momentum, in the scale of Liu et al. 2025.

Keras' own takes matrices alone; here a masked kernel is the matrix of the weights that its mask
leaves, and those of one shape are computed together.
"""

import numpy as np
import tensorflow as tf

from pixelcnn_tf.models.pixelcnn import PixelCNN

MOMENTUM = 0.95
# Of the Newton-Schulz iteration, and the root mean square of a step's entries (both of the papers).
COEFFICIENTS, ITERATIONS, RMS = (3.4445, -4.7750, 2.0315), 5, 0.2


def orthogonal(matrices):
    """The nearest orthogonal ones to matrices `[..., N, M]`, nearly."""
    upright = matrices.shape[-2] > matrices.shape[-1]
    x = tf.linalg.matrix_transpose(matrices) if upright else matrices
    x /= tf.norm(x, axis=(-2, -1), keepdims=True) + 1e-7
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * square + c * tf.matmul(square, square), x)
    return tf.linalg.matrix_transpose(x) if upright else x


class Muon:
    """Updates the kernels of the blocks; their momentum is kept as OfficialAdam's first moment.

    Args:
      model: a `PixelCNN` of images of one channel.
      optimizer: the built `OfficialAdam` of the other variables.
      learning_rate: at the beginning; it decays as that of `optimizer`.

    Attributes:
      others: the model's other trainable variables.
    """

    def __init__(self, model, optimizer, learning_rate):
        if not isinstance(model, PixelCNN) or model.image_shape[-1] != 1:
            raise ValueError("--muon: only for PixelCNN of images of one channel")
        self.optimizer, self.learning_rate = optimizer, learning_rate
        self.groups = {}  # shape of the kernel -> (numbers of what its mask leaves, kernels)
        for block in model.blocks:
            for layer in (block.narrow, block.conv, block.widen):
                mask = layer.mask.reshape(-1, layer.filters)
                group = self.groups.setdefault(mask.shape, (np.flatnonzero(mask[:, 0]), []))
                group[1].append(layer.kernel)
        taken = {id(kernel) for _, kernels in self.groups.values() for kernel in kernels}
        self.others = [v for v in model.trainable_variables if id(v) not in taken]

    def apply(self, gradients):
        """A step, before that of `optimizer`; `gradients`: by `id` of the variable."""
        step = tf.convert_to_tensor(self.optimizer.iterations) + 1
        decayed = self.optimizer.decayed_learning_rate(step) / self.optimizer.learning_rate
        for (size, columns), (rows, kernels) in self.groups.items():
            wanted = []
            for kernel in kernels:
                momentum, gradient = self.optimizer.moments(kernel)[0], gradients[id(kernel)]
                momentum.assign(MOMENTUM * momentum + gradient)
                ahead = gradient + MOMENTUM * tf.convert_to_tensor(momentum)
                wanted.append(tf.gather(tf.reshape(ahead, [size, columns]), rows))
            steps = orthogonal(tf.stack(wanted))
            rate = self.learning_rate * decayed * RMS * max(len(rows), columns) ** 0.5
            for kernel, change in zip(kernels, tf.unstack(rate * steps), strict=True):
                whole = tf.scatter_nd(rows[:, None], change, [size, columns])
                kernel.assign_sub(tf.reshape(whole, kernel.shape))
