"""The codebook of a VQ-VAE (van den Oord, Vinyals and Kavukcuoglu 2017, section 3.1 and 3.2)."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_tf.checks import require_integer, require_share
from pixelcnn_tf.levels import MAX_NUM_LEVELS
from pixelcnn_tf.renamed import renamed

CODEBOOK_UPDATES = ("gradient", "ema")
# Below this moving average of its counts, the vector of a code does not change.
LEAST_COUNT = 1e-5
RENAMED_ARGUMENTS = {  # since version 0.2
    "nr_embeddings": "num_embeddings",
    "codebook": ("codebook_update", {"loss": "gradient"}),
    "restart_codes": "reset_unused_after",
}


class Quantized(NamedTuple):
    """Quantised vectors.

    Attributes:
      vectors: z_e, the vectors before quantisation, `[B, h, w, D]`.
      quantized: the nearest vectors of the codebook, `[B, h, w, D]`, with the straight-through
        gradient to `vectors`.
      codes: their indices in the codebook, int32 `[B, h, w]`.
      codebook_loss: mean of (sg[z_e] - e)^2 over an image's vectors and their elements, `[B]`; 0
        with moving averages.
      commitment_loss: mean of (z_e - sg[e])^2, `[B]`.
    """

    vectors: tf.Tensor
    quantized: tf.Tensor
    codes: tf.Tensor
    codebook_loss: tf.Tensor
    commitment_loss: tf.Tensor


@keras.saving.register_keras_serializable("pixelcnn_tf")
@renamed(RENAMED_ARGUMENTS, {"statistics": "ema_statistics", "learn": "update_ema"})
class VectorQuantizer(keras.layers.Layer):
    """Replaces each vector by the nearest of K learned ones, its code, with a straight-through
    gradient.

    Args:
      num_embeddings: K, 2 to 65,536.
      embedding_dim: D.
      codebook_update: "gradient": the codebook `embeddings` is trained by the gradient of the
        codebook loss (equation 3); "ema": it is the moving average of the vectors assigned to each
        code (appendix A.1), updated by `update_ema`.
      ema_decay: gamma of the moving averages, 0 <= ema_decay < 1.
      reset_unused_after: `update_ema` re-initialises codes that were unused for this many
        consecutive batches from the current batch. 0: never.

    Raises:
      ValueError: for an argument out of range.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        codebook_update: str = "gradient",
        ema_decay: float = 0.99,
        reset_unused_after: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_embeddings = require_integer("num_embeddings", num_embeddings, 2)
        if num_embeddings > MAX_NUM_LEVELS:
            raise ValueError(f"num_embeddings={num_embeddings}: must be at most {MAX_NUM_LEVELS}")
        self.embedding_dim = require_integer("embedding_dim", embedding_dim, 1)
        if codebook_update not in CODEBOOK_UPDATES:
            raise ValueError(
                f"codebook_update={codebook_update!r}: must be one of {', '.join(CODEBOOK_UPDATES)}"
            )
        self.codebook_update = codebook_update
        self.ema_decay = require_share("ema_decay", ema_decay)
        self.reset_unused_after = require_integer("reset_unused_after", reset_unused_after, 0)
        shape = (num_embeddings, embedding_dim)
        uniform = keras.initializers.RandomUniform(-1.0 / num_embeddings, 1.0 / num_embeddings)
        self.embeddings = self.add_weight(
            shape=shape,
            initializer=uniform,
            name="embeddings",
            trainable=codebook_update == "gradient",
        )
        ema = codebook_update == "ema"

        def state(name, shape, initializer="zeros"):
            return self.add_weight(shape=shape, initializer=initializer, name=name, trainable=False)

        # Steps since each code was last used.
        self.idle = state("idle", shape[:1]) if reset_unused_after else None
        self.counts = state("counts", shape[:1], "ones") if ema else None
        self.sums = state("sums", shape) if ema else None
        if ema:
            self.sums.assign(self.embeddings)
        self.built = True

    def call(self, vectors: tf.Tensor) -> Quantized:
        """Quantises `[B, h, w, D]`; see `Quantized`. Computes in the dtype of the variables."""
        vectors = tf.cast(vectors, self.variable_dtype)
        codes = self.nearest(vectors)
        chosen = self.lookup(codes)
        quantized = vectors + tf.stop_gradient(chosen - vectors)

        def distance(a, b):
            return tf.reduce_mean(tf.square(a - b), axis=[1, 2, 3])

        commitment = distance(vectors, tf.stop_gradient(chosen))
        if self.codebook_update == "gradient":
            codebook = distance(tf.stop_gradient(vectors), chosen)
        else:
            codebook = tf.zeros_like(commitment)
        return Quantized(vectors, quantized, codes, codebook, commitment)

    def nearest(self, vectors: tf.Tensor) -> tf.Tensor:
        """The codes int32 `[B, h, w]` nearest to vectors `[B, h, w, D]`; ties take the lowest."""
        embeddings = tf.convert_to_tensor(self.embeddings)
        # |z - e|^2 without |z|^2, which is the same for all codes.
        products = tf.einsum("bhwd,kd->bhwk", vectors, embeddings)
        distances = tf.reduce_sum(tf.square(embeddings), axis=1) - 2.0 * products
        return tf.argmin(distances, axis=-1, output_type=tf.int32)

    def lookup(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors `[..., D]` of codes `[...]`, integers."""
        return tf.gather(tf.convert_to_tensor(self.embeddings), tf.cast(codes, tf.int32))

    def start(self, vectors: tf.Tensor, seed: int) -> None:
        """Initialises the codebook with vectors of a first batch by k-means++: each is drawn with
        probability proportional to its squared distance to the nearest vector drawn before.

        Args:
          vectors: `[B, h, w, D]`.
          seed: int.
        """
        rng = np.random.default_rng([seed, self.num_embeddings])
        flat = np.asarray(vectors, np.float64).reshape(-1, self.embedding_dim)
        chosen, nearest = [], np.full(len(flat), np.inf)
        for _ in range(self.num_embeddings):
            weights = nearest if chosen and nearest.sum() > 0 else np.ones(len(flat))
            chosen.append(rng.choice(len(flat), p=weights / weights.sum()))
            distances = np.sum((flat - flat[chosen[-1]]) ** 2, axis=1)
            nearest = np.minimum(nearest, distances)
        values = flat[chosen]
        _, first = np.unique(values, axis=0, return_index=True)
        again = np.setdiff1d(np.arange(len(values)), first)  # if there are fewer vectors than codes
        values[again] += 0.01 * values.std() * rng.standard_normal(values[again].shape)
        self.embeddings.assign(values)
        if self.codebook_update == "ema":
            self.counts.assign(tf.ones_like(self.counts))
            self.sums.assign(values)

    def ema_statistics(self, result: Quantized, seeds: tf.Tensor) -> dict:
        """Statistics for `update_ema`: sums over a batch or a replica's share of it. Add the
        statistics of all replicas.

        Args:
          result: the result of `call`.
          seeds: int32 `[B, 3]`, see `pixelcnn_tf.random.batch_places`; their places identify the
            images in the global batch.

        Returns:
          A dict of tensors; empty if `update_ema` has nothing to do.
        """
        if self.codebook_update == "gradient" and not self.reset_unused_after:
            return {}
        codes = tf.reshape(result.codes, [-1])
        vectors = tf.stop_gradient(tf.reshape(result.vectors, [-1, self.embedding_dim]))
        ones = tf.ones_like(codes, vectors.dtype)
        found = {"counts": tf.math.unsorted_segment_sum(ones, codes, self.num_embeddings)}
        if self.codebook_update == "ema":
            found["sums"] = tf.math.unsorted_segment_sum(vectors, codes, self.num_embeddings)
        if self.reset_unused_after:
            found["candidates"] = self._candidates(result.vectors, seeds)
        return found

    def _candidates(self, vectors, seeds):
        """A random vector of the global batch for each code, `[K, D]`; zeros where another replica
        holds the vector."""
        context = tf.distribute.get_replica_context()
        replicas = 1 if context is None else context.num_replicas_in_sync
        shape = tf.shape(vectors)
        batch, positions = shape[0], shape[1] * shape[2]
        draws = [
            tf.random.stateless_uniform(
                [self.num_embeddings], tf.random.fold_in(seeds[0, :2], number), 0, limit, tf.int32
            )
            for number, limit in ((1, batch * replicas), (2, positions))
        ]
        here = draws[0] - seeds[0, 2]  # places are consecutive
        flat = tf.stop_gradient(tf.reshape(vectors, [-1, self.embedding_dim]))
        mine = (here >= 0) & (here < batch)
        rows = tf.where(mine, here, 0) * positions + draws[1]
        return tf.where(mine[:, None], tf.gather(flat, rows), tf.zeros([], flat.dtype))

    def update_ema(self, statistics: dict) -> None:
        """Updates the codebook from the `ema_statistics` of a step, sums over the global batch."""
        if not statistics:
            return
        counts, embeddings = statistics["counts"], tf.convert_to_tensor(self.embeddings)
        averages = {}
        if self.codebook_update == "ema":
            new = 1.0 - self.ema_decay
            averages["counts"] = self.ema_decay * self.counts + new * counts
            averages["sums"] = self.ema_decay * self.sums + new * statistics["sums"]
            alive = averages["counts"] > LEAST_COUNT
            divisor = tf.where(alive, averages["counts"], tf.ones_like(counts))
            embeddings = tf.where(alive[:, None], averages["sums"] / divisor[:, None], embeddings)
        if self.reset_unused_after:
            idle = tf.where(counts > 0, tf.zeros_like(counts), self.idle + 1.0)
            dead = idle >= self.reset_unused_after
            self.idle.assign(tf.where(dead, tf.zeros_like(idle), idle))
            embeddings = tf.where(dead[:, None], statistics["candidates"], embeddings)
            if averages:
                averages["counts"] = tf.where(dead, tf.ones_like(counts), averages["counts"])
                averages["sums"] = tf.where(
                    dead[:, None], statistics["candidates"], averages["sums"]
                )
        self.embeddings.assign(embeddings)
        for name, value in averages.items():
            getattr(self, name).assign(value)

    def get_config(self):
        return super().get_config() | {
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "codebook_update": self.codebook_update,
            "ema_decay": self.ema_decay,
            "reset_unused_after": self.reset_unused_after,
        }
