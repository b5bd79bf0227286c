"""The program around `pixelcnn_tf`: flags, data sets, training, evaluation, files.

A command is a module `train.X` with `main`, run by `python -m train.X`; none imports another.
What a command imports inside its functions needs TensorFlow, which takes seconds to start: it is
delayed so that `--help` and wrong flags are answered at once.
"""

import os

# TensorFlow's own notes and warnings (CPU features, optimiser passes); errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
