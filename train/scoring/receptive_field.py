"""What a pixel of a trained model sees, measured by gradients."""

import numpy as np
import tensorflow as tf

from pixelcnn_tf.models.image_model import AutoregressiveModel

PROJECTIONS = 3  # random sums of a pixel's parameters; a path may be closed to one of them


def receptive_field(
    model: AutoregressiveModel,
    images: tf.Tensor,
    labels: tf.Tensor | None = None,
    place: tuple[int, int] | None = None,
) -> np.ndarray | None:
    """How much the parameters of one pixel depend on every other: the effective receptive field
    (Luo et al. 2016), in absolute gradients of random sums of its parameters.

    Args:
      model: an `AutoregressiveModel` with a likelihood.
      images: `[B, H, W, C]`, floats in [-1, 1]; the result is the mean over them.
      labels: of a conditional model.
      place: row and column of the pixel; default: `default_place`.

    Returns:
      float64 `[H, W]`; None if the network is not a differentiable function of the images (codes).
    """
    row, column = place or default_place(model.image_shape)
    total = np.zeros(model.image_shape[:2])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        parameters = tf.cast(model(images, labels), tf.float32)[:, row, column]
        results = [
            tf.reduce_sum(parameters * tf.random.stateless_normal(parameters.shape, [seed, 0]))
            for seed in range(PROJECTIONS)
        ]
    for result in results:
        gradient = tape.gradient(result, images)
        if gradient is None:
            return None
        total += np.abs(gradient.numpy().astype(np.float64)).sum(axis=-1).mean(axis=0)
    return total / PROJECTIONS


def default_place(image_shape: tuple) -> tuple[int, int]:
    """The pixel that is looked at: in the middle of its row, below the middle of the image, so that
    most of what it may see is in the image."""
    height, width, _ = image_shape
    return height * 2 // 3, width // 2


def radius(field: np.ndarray, place: tuple[int, int], share: float) -> int:
    """The radius of the smallest square around a pixel that holds a share of the field's sum."""
    rows, columns = np.indices(field.shape)
    distance = np.maximum(abs(rows - place[0]), abs(columns - place[1]))
    sums = np.bincount(distance.ravel(), weights=field.ravel())
    return int(np.searchsorted(np.cumsum(sums), share * field.sum() * (1 - 1e-12)))


def seen_share(field: np.ndarray, place: tuple[int, int]) -> float:
    """The share of the pixels before a pixel that have any influence on it."""
    before = field.ravel()[: place[0] * field.shape[1] + place[1]]
    return float((before > 0.0).mean()) if len(before) else 1.0
