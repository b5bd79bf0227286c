"""Names of version 0.2 that have changed: they still work, with a DeprecationWarning."""

import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping

PACKAGE = __name__.split(".")[0]


def warn_renamed(old: str, new: str) -> None:
    """Warns that `old` is now called `new`, at the first caller outside this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] == PACKAGE:
        level, frame = level + 1, frame.f_back
    message = f"{old} is renamed to {new}; the old name will be removed"
    warnings.warn(message, DeprecationWarning, stacklevel=level)


def renamed(
    arguments: Mapping[str, str | tuple[str, Mapping]] | None = None,
    attributes: Mapping[str, str] | None = None,
) -> Callable[[type], type]:
    """A class decorator that accepts old names.

    The constructor takes the old arguments, and `from_config` takes them without a warning, so that
    saved models load.

    Args:
      arguments: old name -> new name of a constructor argument and of the attribute that holds it;
        or `(new name, {old value: new value})`.
      attributes: old name -> new name of other attributes and methods.

    Example:
      >>> @renamed({"nr_maps": "num_maps"})
      ... class Layer:
      ...     def __init__(self, num_maps):
      ...         self.num_maps = num_maps
      >>> Layer(nr_maps=3).num_maps
      3
    """
    pairs = {
        old: (new, {}) if isinstance(new, str) else new for old, new in (arguments or {}).items()
    }
    names = {old: (new, {}) for old, new in (attributes or {}).items()}
    names |= {
        old: (new, {value: before for before, value in values.items()})
        for old, (new, values) in pairs.items()
    }

    def with_new_names(config):
        found = dict(config)
        for old, (new, values) in pairs.items():
            if old in found:
                if new in found:
                    raise TypeError(f"{old} and {new} are the same argument: use only {new}")
                value = found.pop(old)
                found[new] = values.get(value, value) if isinstance(value, str) else value
        return found

    def decorate(cls):
        init, from_config = cls.__init__, getattr(cls, "from_config", None)
        inherited = getattr(cls, "__getattr__", None)

        @functools.wraps(init)
        def __init__(self, *args, **kwargs):
            for old in pairs.keys() & kwargs.keys():
                warn_renamed(f"{cls.__name__}({old}=...)", pairs[old][0])
            init(self, *args, **with_new_names(kwargs))

        __init__.__signature__ = inspect.signature(init)  # which Keras reads

        def __getattr__(self, name):
            if name in names:
                new, values = names[name]
                warn_renamed(f"{type(self).__name__}.{name}", new)
                value = getattr(self, new)
                return values.get(value, value) if values else value
            if inherited is not None:
                return inherited(self, name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        cls.__getattr__ = __getattr__
        if pairs:
            cls.__init__ = __init__
        if pairs and from_config is not None:
            original = from_config.__func__

            def load(cls, config, *args, **kwargs):
                return original(cls, with_new_names(config), *args, **kwargs)

            cls.from_config = classmethod(load)
        return cls

    return decorate
