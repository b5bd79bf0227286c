"""The compiled functions of a model's samplers, made once for each model."""

import contextlib
import threading
from collections.abc import Callable, Hashable

from tensorflow.core.protobuf import config_pb2
from tensorflow.python.eager import context

_LOCK = threading.RLock()  # several replicas sample from threads


@contextlib.contextmanager
def unoptimized():
    """Within it, this thread's calls of `tf.function`s run their graphs as they were traced.

    TensorFlow's optimiser of graphs (Grappler) takes longer over the cached sampler than its
    tracing, and makes it no faster (docs/performance.md). There is no public switch for one call.
    """
    here = context.context()
    before = here.function_call_options
    config = config_pb2.ConfigProto()
    if before.config_proto_serialized:
        config.ParseFromString(before.config_proto_serialized)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    here.function_call_options = context.FunctionCallOptions(
        executor_type=before.executor_type, config_proto=config
    )
    try:
        yield
    finally:
        here.function_call_options = before


def compiled(model, key: Hashable, make: Callable):
    """`make()`, made once for each model and key, whichever thread asks first."""
    with _LOCK:
        functions = vars(model.sampling_functions)
        if key not in functions:
            functions[key] = make()
        return functions[key]


def cached_sampler(model):
    """The model's cached sampler, or None."""
    return compiled(model, "cached sampler", model.make_cached_sampler)
