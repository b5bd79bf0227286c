"""The program around `pixelcnn_tf`: flags, data sets, training, evaluation, files."""

import os

# TensorFlow's own notes and warnings (CPU features, optimiser passes); errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
