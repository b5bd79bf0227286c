"""A training step and scores of TensorFlow Probability's PixelCNN; a process of its own, since it
needs Keras 2 (`pip install tf_keras`), which must be chosen before TensorFlow is imported.

Run by `benchmarks/training.py --peers`. Reads "training" or "log_prob" from standard input, a line
each, and answers with the seconds of one.
"""

import os
import sys
import time

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def main(nr_resnet, nr_filters, nr_logistic_mix, batch):
    import numpy as np
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    distribution = tfp.distributions.PixelCNN(
        image_shape=(32, 32, 3),
        num_resnet=nr_resnet,
        num_hierarchies=3,
        num_filters=nr_filters,
        num_logistic_mix=nr_logistic_mix,
        dropout_p=0.5,
    )
    images = np.random.default_rng(0).integers(0, 256, [batch, 32, 32, 3])
    images = tf.constant(images, tf.float32)
    optimizer = tf_keras.optimizers.Adam(1e-3)

    @tf.function
    def log_prob():
        return distribution.log_prob(images, training=False)

    @tf.function
    def training():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_sum(distribution.log_prob(images, training=True))
        variables = distribution.network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    functions = {"log_prob": log_prob, "training": training}
    for function in functions.values():
        function()
    weights = sum(int(tf.size(v)) for v in distribution.network.trainable_variables)
    return functions, weights


def answer(line, file):
    print(line, file=file, flush=True)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed
    functions, weights = main(*map(int, sys.argv[1:]))
    answer(weights, answers)
    for line in sys.stdin:
        begin = time.perf_counter()
        functions[line.strip()]().numpy()
        answer(time.perf_counter() - begin, answers)
