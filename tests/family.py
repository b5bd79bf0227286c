"""The models that `tests/test_family_*.py` share, small."""

import tensorflow as tf

from pixelcnn_tf import DiagonalBiLSTM, GatedPixelCNN, PixelCNN, RowLSTM

FAMILY = {
    "pixelcnn": PixelCNN,
    "gated_pixelcnn": GatedPixelCNN,
    "row_lstm": RowLSTM,
    "diagonal_bilstm": DiagonalBiLSTM,
}


def small(name, image_shape, **arguments):
    """A model with 2 layers of 12 maps in float64, so that small dependencies do not vanish."""
    sizes = dict(nr_resnet=2, nr_filters=12, num_head_filters=24, num_levels=3, dtype="float64")
    return FAMILY[name](image_shape, **(sizes | arguments))


def lively(model, scale=1.5):
    """The model with larger weights, far from a uniform distribution, and with positive biases,
    which leave few ReLUs dead."""
    for i, variable in enumerate(model.trainable_variables):
        noise = tf.random.stateless_normal(variable.shape, [i, 7], dtype=variable.dtype)
        is_bias = len(variable.shape) == 1
        variable.assign(abs(noise) / 2 if is_bias else scale * tf.convert_to_tensor(variable))
    return model
