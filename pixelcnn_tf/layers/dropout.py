"""Dropout with explicit randomness: a function of seeds, or given masks.

Keras' own Dropout has state that is not in a checkpoint and draws the same mask on every replica.
Here a mask is a function of (seed, place of the example, number of the block), so a resumed run and
a run on more replicas drop the same units.
"""

import tensorflow as tf

from pixelcnn_tf.random import RandomBits


def noise_dtype(dropout_p):
    """The dtype of a unit's random integer, which drops the unit if it is below
    `dropout_p * 2**bits`: 8 bits if that is an integer, as for 0.5, else 16."""
    return tf.uint8 if dropout_p * 2**8 == int(dropout_p * 2**8) else tf.uint16


class Dropout:
    """The dropout of one forward pass: `block()` returns the dropout of the next residual block.

    Args:
      dropout_p: share of units dropped, 0 <= dropout_p < 1, to 2**-16; the others are multiplied by
        `1 / (1 - dropout_p)` (official `tf.nn.dropout(c1, keep_prob=1 - dropout_p)`).
      seeds: seeds of `pixelcnn_tf.random.RandomBits`, int32 `[B, 2]` or `[B, 3]`.
      masks: instead of `seeds`: a sequence of 0/1 arrays `[B, H, W, C]`, one per gated residual
        block in call order.
    """

    def __init__(self, dropout_p, seeds=None, masks=None):
        self.dropout_p = dropout_p
        self.random_bits = None if seeds is None else RandomBits(seeds)
        self.masks = masks
        self.num_blocks = 0
        self.noise_dtype = noise_dtype(dropout_p)
        self.threshold = min(
            round(dropout_p * 2 ** (8 * self.noise_dtype.size)), self.noise_dtype.max
        )

    def finish(self):
        """Raises ValueError if there are more masks than blocks."""
        if self.masks is not None and len(self.masks) != self.num_blocks:
            raise ValueError(
                f"dropout_masks: must be one per gated residual block, {self.num_blocks}, "
                f"got {len(self.masks)}"
            )

    def block(self):
        """Returns the dropout function of the next residual block."""
        number = self.num_blocks
        self.num_blocks += 1

        def drop(x):
            if self.masks is not None:
                if number >= len(self.masks):
                    raise ValueError(
                        "dropout_masks: must be one per gated residual block, got only "
                        f"{len(self.masks)}"
                    )
                keep = tf.convert_to_tensor(self.masks[number])
            else:
                # Only once x is computed: TensorFlow would draw the noise of all blocks at once.
                with tf.control_dependencies([x]):
                    noise = self.random_bits(x.shape[1:], number, self.noise_dtype)
                    keep = noise >= self.threshold
            # A product with a scaled mask: its gradient is one product, the gradient of `tf.where`
            # is two selections.
            return x * (tf.cast(keep, x.dtype) * (1.0 / (1.0 - self.dropout_p)))

        return drop
