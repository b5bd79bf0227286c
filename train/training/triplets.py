"""A network from images to vectors, trained by triplet loss: images of a class near each other,
those of another class further away by a margin (Schroff, Kalenichenko and Philbin 2015, "FaceNet").
"""

from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_tf.levels import levels_to_input
from train.data.splits import Split

BATCH_SIZE = 256  # images embedded at a time
SMALLEST_SIDE = 4  # of the maps, below which they are not halved


def make_encoder(image_shape: tuple, nr_filters: int, embedding_dim: int) -> keras.Model:
    """A small convolutional network from images `[B, H, W, C]`, floats in [-1, 1], to vectors
    `[B, embedding_dim]` of length 1, untrained."""
    x = inputs = keras.Input(image_shape, name="images")
    filters = nr_filters
    while min(x.shape[1:3]) > SMALLEST_SIDE:
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
        filters = min(2 * filters, 4 * nr_filters)
    x = keras.layers.Dense(4 * nr_filters, activation="relu")(keras.layers.Flatten()(x))
    x = keras.layers.Dense(embedding_dim)(x)
    return keras.Model(inputs, keras.layers.UnitNormalization()(x), name="embedding")


def triplet_loss(vectors: tf.Tensor, labels: tf.Tensor, margin: float) -> tf.Tensor:
    """`max(0, |a - p|^2 - |a - n|^2 + margin)` of all triplets of a batch, p of the class of a and
    n of another: the mean of those that are not 0 ("batch all" of Hermans, Beyer and Leibe 2017).

    Args:
      vectors: `[B, D]`.
      labels: integers `[B]`.
      margin: above 0.

    Returns:
      A scalar; 0 if no triplet is left.
    """
    distances = tf.reduce_sum((vectors[:, None] - vectors) ** 2, axis=-1)  # [a, other]
    same = labels[:, None] == labels
    positive = same & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    losses = distances[:, :, None] - distances[:, None, :] + margin  # [a, p, n]
    losses = tf.where(positive[:, :, None] & ~same[:, None, :], tf.nn.relu(losses), 0.0)
    left = tf.math.count_nonzero(losses, dtype=losses.dtype)
    return tf.reduce_sum(losses) / tf.maximum(left, 1.0)


def train_encoder(
    encoder: keras.Model,
    batches: Iterable[dict],
    num_levels: int,
    num_steps: int,
    learning_rate: float,
    margin: float,
    report: Callable[[int, float], None],
) -> None:
    """Trains a network of `make_encoder` by Adam, whose learning rate falls to 0 by a cosine.

    Args:
      encoder: its weights change.
      batches: at least `num_steps` of `images` and `labels`.
      num_levels: of the images.
      num_steps: updates.
      learning_rate: of the first step.
      margin: see `triplet_loss`.
      report: called after each step with its number and loss.
    """
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(encoder.trainable_variables)

    @tf.function(autograph=False)
    def update(images, labels):
        with tf.GradientTape() as tape:
            vectors = encoder(levels_to_input(images, num_levels), training=True)
            loss = triplet_loss(vectors, labels, margin)
        optimizer.apply(tape.gradient(loss, encoder.trainable_variables))
        return loss

    for number, batch in zip(range(1, num_steps + 1), batches, strict=False):
        report(number, float(update(batch["images"], batch["labels"])))


def embed(
    encoder: keras.Model, split: Split, num_levels: int, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors `[N, D]` and labels `[N]` of the first images of a split, at most `limit`."""
    function = tf.function(
        lambda images: encoder(levels_to_input(images, num_levels), training=False),
        autograph=False,
    )
    limit = min(limit, split.num_examples)
    vectors, labels = [], []
    for number, batch in enumerate(split.in_order(BATCH_SIZE)):
        count = min(BATCH_SIZE, limit - number * BATCH_SIZE)
        if count <= 0:
            break
        vectors.append(function(batch["images"])[:count].numpy())
        labels.append(batch["labels"][:count].numpy())
    return np.concatenate(vectors), np.concatenate(labels)


def nearest_neighbour_accuracy(
    known: tuple[np.ndarray, np.ndarray], asked: tuple[np.ndarray, np.ndarray]
) -> float:
    """The share of images whose class is that of the nearest known one.

    Args:
      known, asked: of `embed`: vectors `[N, D]` and labels `[N]`.
    """
    vectors, labels = known
    lengths, right = (vectors**2).sum(axis=1), 0
    for begin in range(0, len(asked[0]), BATCH_SIZE):
        part = slice(begin, begin + BATCH_SIZE)
        nearest = np.argmin(lengths - 2.0 * asked[0][part] @ vectors.T, axis=1)
        right += np.sum(labels[nearest] == asked[1][part])
    return float(right / len(asked[0]))
