"""The compiled functions of a model's samplers, created once per model."""

import threading
from collections.abc import Callable, Hashable

_LOCK = threading.RLock()  # several replicas sample from threads


def compiled(model, key: Hashable, make: Callable):
    """The result of `make()`, called once per model and key, also with several threads."""
    with _LOCK:
        functions = vars(model.sampling_functions)
        if key not in functions:
            functions[key] = make()
        return functions[key]


def cached_sampler(model):
    """The model's cached sampler, or None."""
    return compiled(model, "cached sampler", model.make_cached_sampler)
