"""What TF Serving takes beside a SavedModel: warm-up requests, and examples of its settings."""

import os

import tensorflow as tf

from pixelcnn_tf.export import CHEAP_SIGNATURES, request_dtype
from pixelcnn_tf.models.image_model import ImageModel
from pixelcnn_tf.models.vq_vae import VQVAE
from train.files import write_text

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")  # TF Serving's name
MODELS_CONFIG = """\
# For tensorflow_model_server --model_config_file. One entry a model; `base_path` is where the
# server finds the folder that holds the versions.
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
  }}
}}
"""
BATCHING_PARAMETERS = """\
# For tensorflow_model_server --enable_batching --batching_parameters_file: requests that arrive
# within 5 ms are answered together. Raise max_batch_size with the memory of the machine.
max_batch_size { value: 16 }
batch_timeout_micros { value: 5000 }
num_batch_threads { value: 2 }
max_enqueued_batches { value: 64 }
"""


def write_warmup(
    folder: str, name: str, model: ImageModel, signatures: list[str], vq_vae: VQVAE | None = None
) -> list[str]:
    """Writes the requests that a server tries when it loads the model, one a cheap signature.

    Args:
      folder: of the SavedModel.
      name: name of the model on the server.
      model: the exported model.
      signatures: the names of what was exported.
      vq_vae: the `VQVAE` exported with it, or None.

    Returns:
      The names of the signatures that are warmed up; no file is written if there are none.

    Raises:
      ImportError: if `tensorflow-serving-api` (extra `serving`) is not installed.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    names = [name for name in CHEAP_SIGNATURES if name in signatures]
    if not names:
        return names
    shown = vq_vae or model
    inputs = {"images": tf.zeros([1, *shown.image_shape], request_dtype(shown.num_levels))}
    if model.num_classes:
        inputs["labels"] = tf.zeros([1], tf.int32)
    path = os.path.join(folder, WARMUP_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(path) as writer:
        for signature in names:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            given = inputs
            if signature == "decode":
                given = {"codes": tf.zeros([1, *model.codes_shape[:2]], tf.int32)}
            for key, value in given.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
    return names


def write_examples(output: str, name: str) -> None:
    """Writes `models.config` and `batching_parameters.txt` to edit; what is there stays."""
    files = {
        "models.config": MODELS_CONFIG.format(name=name),
        "batching_parameters.txt": BATCHING_PARAMETERS,
    }
    for file_name, text in files.items():
        path = os.path.join(output, file_name)
        if not os.path.exists(path):
            write_text(path, text)
