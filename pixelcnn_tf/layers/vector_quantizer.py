"""The codebook of a VQ-VAE (van den Oord, Vinyals and Kavukcuoglu 2017, section 3.1 and 3.2)."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_tf.checks import require_integer, require_share
from pixelcnn_tf.levels import MAX_NUM_LEVELS

CODEBOOKS = ("loss", "ema")
# A moving average of counts below this is that of a dead code, whose vector stays where it is.
LEAST_COUNT = 1e-5


class Quantized(NamedTuple):
    """Vectors and what the codebook makes of them.

    Attributes:
      vectors: z_e, what was quantised, `[B, h, w, D]`.
      quantized: the nearest vector of the codebook, `[B, h, w, D]`, whose gradient goes straight
        through to `vectors`.
      codes: its number, int32 `[B, h, w]`.
      codebook_loss: mean of (sg[z_e] - e)^2 over an image's vectors and their elements, `[B]`; 0
        where the codebook is one of moving averages.
      commitment_loss: mean of (z_e - sg[e])^2, `[B]`.
    """

    vectors: tf.Tensor
    quantized: tf.Tensor
    codes: tf.Tensor
    codebook_loss: tf.Tensor
    commitment_loss: tf.Tensor


@keras.saving.register_keras_serializable("pixelcnn_tf")
class VectorQuantizer(keras.layers.Layer):
    """Replaces each vector by the nearest of K learnt ones, its code.

    The gradient of what follows is copied to the vector (straight-through). The codebook learns

    - "loss": by the gradient of the codebook loss (equation 3), the weights `embeddings`;
    - "ema": as the moving average of the vectors that chose each code (appendix A.1), by `learn`.

    Args:
      nr_embeddings: K, 2 to 65,536.
      embedding_dim: D.
      codebook: "loss" or "ema".
      ema_decay: gamma of the moving averages.
      restart_codes: a code that no vector of so many batches one after the other has chosen is
        dead; `learn` moves it to a vector of the batch. 0: never.

    Raises:
      ValueError: for an argument out of its range.
    """

    def __init__(
        self,
        nr_embeddings: int,
        embedding_dim: int,
        codebook: str = "loss",
        ema_decay: float = 0.99,
        restart_codes: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.nr_embeddings = require_integer("nr_embeddings", nr_embeddings, 2)
        if nr_embeddings > MAX_NUM_LEVELS:
            raise ValueError(f"nr_embeddings={nr_embeddings}: must be at most {MAX_NUM_LEVELS}")
        self.embedding_dim = require_integer("embedding_dim", embedding_dim, 1)
        if codebook not in CODEBOOKS:
            raise ValueError(f"codebook={codebook!r}: must be one of {', '.join(CODEBOOKS)}")
        self.codebook = codebook
        self.ema_decay = require_share("ema_decay", ema_decay)
        self.restart_codes = require_integer("restart_codes", restart_codes, 0)
        shape = (nr_embeddings, embedding_dim)
        uniform = keras.initializers.RandomUniform(-1.0 / nr_embeddings, 1.0 / nr_embeddings)
        self.embeddings = self.add_weight(
            shape=shape, initializer=uniform, name="embeddings", trainable=codebook == "loss"
        )

        def state(name, shape, initializer="zeros"):
            return self.add_weight(shape=shape, initializer=initializer, name=name, trainable=False)

        # Steps since each code was last chosen.
        self.idle = state("idle", shape[:1]) if restart_codes else None
        self.counts = state("counts", shape[:1], "ones") if codebook == "ema" else None
        self.sums = state("sums", shape) if codebook == "ema" else None
        if codebook == "ema":
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
        if self.codebook == "loss":
            codebook = distance(tf.stop_gradient(vectors), chosen)
        else:
            codebook = tf.zeros_like(commitment)
        return Quantized(vectors, quantized, codes, codebook, commitment)

    def nearest(self, vectors: tf.Tensor) -> tf.Tensor:
        """The codes int32 `[B, h, w]` of vectors `[B, h, w, D]`: of equal distances the lowest."""
        embeddings = tf.convert_to_tensor(self.embeddings)
        # |z - e|^2 without |z|^2, which all codes of a vector share.
        products = tf.einsum("bhwd,kd->bhwk", vectors, embeddings)
        distances = tf.reduce_sum(tf.square(embeddings), axis=1) - 2.0 * products
        return tf.argmin(distances, axis=-1, output_type=tf.int32)

    def lookup(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors `[..., D]` of codes `[...]`, integers."""
        return tf.gather(tf.convert_to_tensor(self.embeddings), tf.cast(codes, tf.int32))

    def start(self, vectors: tf.Tensor, seed: int) -> None:
        """Puts the codebook onto vectors of a first batch, far from each other: each code's is
        drawn with the square of its distance to the codes before it as weight (k-means++).

        Args:
          vectors: `[B, h, w, D]`.
          seed: int.
        """
        rng = np.random.default_rng([seed, self.nr_embeddings])
        flat = np.asarray(vectors, np.float64).reshape(-1, self.embedding_dim)
        chosen, nearest = [], np.full(len(flat), np.inf)
        for _ in range(self.nr_embeddings):
            weights = nearest if chosen and nearest.sum() > 0 else np.ones(len(flat))
            chosen.append(rng.choice(len(flat), p=weights / weights.sum()))
            distances = np.sum((flat - flat[chosen[-1]]) ** 2, axis=1)
            nearest = np.minimum(nearest, distances)
        values = flat[chosen]
        _, first = np.unique(values, axis=0, return_index=True)
        again = np.setdiff1d(np.arange(len(values)), first)  # of fewer vectors than codes
        values[again] += 0.01 * values.std() * rng.standard_normal(values[again].shape)
        self.embeddings.assign(values)
        if self.codebook == "ema":
            self.counts.assign(tf.ones_like(self.counts))
            self.sums.assign(values)

    def statistics(self, result: Quantized, seeds: tf.Tensor) -> dict:
        """What `learn` takes, as sums over a batch, or over a replica's share of one: those of
        all replicas are to be added.

        Args:
          result: of `call`.
          seeds: int32 `[B, 3]`, see `pixelcnn_tf.random.batch_places`; their places say which
            images of the global batch these are.

        Returns:
          A dict; empty if there is nothing to learn.
        """
        if self.codebook == "loss" and not self.restart_codes:
            return {}
        codes = tf.reshape(result.codes, [-1])
        vectors = tf.stop_gradient(tf.reshape(result.vectors, [-1, self.embedding_dim]))
        ones = tf.ones_like(codes, vectors.dtype)
        found = {"counts": tf.math.unsorted_segment_sum(ones, codes, self.nr_embeddings)}
        if self.codebook == "ema":
            found["sums"] = tf.math.unsorted_segment_sum(vectors, codes, self.nr_embeddings)
        if self.restart_codes:
            found["candidates"] = self._candidates(result.vectors, seeds)
        return found

    def _candidates(self, vectors, seeds):
        """A vector of the global batch for each code, `[K, D]`; zeros for those whose vector
        another replica holds."""
        context = tf.distribute.get_replica_context()
        replicas = 1 if context is None else context.num_replicas_in_sync
        shape = tf.shape(vectors)
        batch, positions = shape[0], shape[1] * shape[2]
        draws = [
            tf.random.stateless_uniform(
                [self.nr_embeddings], tf.random.fold_in(seeds[0, :2], number), 0, limit, tf.int32
            )
            for number, limit in ((1, batch * replicas), (2, positions))
        ]
        here = draws[0] - seeds[0, 2]  # places are consecutive
        flat = tf.stop_gradient(tf.reshape(vectors, [-1, self.embedding_dim]))
        mine = (here >= 0) & (here < batch)
        rows = tf.where(mine, here, 0) * positions + draws[1]
        return tf.where(mine[:, None], tf.gather(flat, rows), tf.zeros([], flat.dtype))

    def learn(self, statistics: dict) -> None:
        """Moves the codebook by the `statistics` of a step, summed over the global batch."""
        if not statistics:
            return
        counts, embeddings = statistics["counts"], tf.convert_to_tensor(self.embeddings)
        averages = {}
        if self.codebook == "ema":
            new = 1.0 - self.ema_decay
            averages["counts"] = self.ema_decay * self.counts + new * counts
            averages["sums"] = self.ema_decay * self.sums + new * statistics["sums"]
            alive = averages["counts"] > LEAST_COUNT
            divisor = tf.where(alive, averages["counts"], tf.ones_like(counts))
            embeddings = tf.where(alive[:, None], averages["sums"] / divisor[:, None], embeddings)
        if self.restart_codes:
            idle = tf.where(counts > 0, tf.zeros_like(counts), self.idle + 1.0)
            dead = idle >= self.restart_codes
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
            "nr_embeddings": self.nr_embeddings,
            "embedding_dim": self.embedding_dim,
            "codebook": self.codebook,
            "ema_decay": self.ema_decay,
            "restart_codes": self.restart_codes,
        }
