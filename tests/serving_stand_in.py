"""A stand-in for TF Serving, whose binary is on no package registry: the same protocols
(gRPC PredictionService, REST predict) over the same loader (a TensorFlow 1 session)."""

import contextlib
import http.server
import json
import threading
from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


class SessionModel:
    """A SavedModel in a plain session; inputs go in without any check by Python."""

    def __init__(self, folder):
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.session = tf.compat.v1.Session()
            meta_graph = tf.compat.v1.saved_model.load(self.session, ["serve"], str(folder))
        self.signatures = meta_graph.signature_def
        self._calls = {}

    def __call__(self, signature, inputs):
        """The outputs of a signature, `{name: array}`."""
        key = signature, *inputs
        if key not in self._calls:
            self._calls[key] = self._callable(self.signatures[signature], inputs)
        outputs = self._calls[key](*inputs.values())
        return dict(zip(self.signatures[signature].outputs, outputs, strict=True))

    def _callable(self, definition, inputs):
        options = config_pb2.CallableOptions(
            feed=[definition.inputs[name].name for name in inputs],
            fetch=[output.name for output in definition.outputs.values()],
        )
        return self.session._make_callable_from_options(options)


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, model):
        self.model = model

    def Predict(self, request, context):
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        signature = request.model_spec.signature_name or "serving_default"
        try:
            outputs = self.model(signature, inputs)
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        response = predict_pb2.PredictResponse()
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response


@contextlib.contextmanager
def serve_grpc(model):
    """Serves a `SessionModel`; gives the port."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(model), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


@contextlib.contextmanager
def serve_rest(model):
    """Serves a `SessionModel` by the columnar format of the REST API; gives the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            signature = request.get("signature_name", "serving_default")
            types = model.signatures[signature].inputs
            inputs = {
                name: np.array(value, tf.as_dtype(types[name].dtype).as_numpy_dtype)
                for name, value in request["inputs"].items()
            }
            try:
                outputs = {k: v.tolist() for k, v in model(signature, inputs).items()}
                status = 200
                # A single output goes without its name.
                answer = {"outputs": outputs if len(outputs) > 1 else [*outputs.values()][0]}
            except tf.errors.InvalidArgumentError as error:
                status, answer = 400, {"error": error.message}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("localhost", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
