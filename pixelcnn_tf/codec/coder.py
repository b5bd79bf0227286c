"""The range coder of `constriction` (the extra `codec`), for bits and for labels."""

import numpy as np

from pixelcnn_tf.codec.container import NOT_THE_SAME, CodecError


def _stream():
    try:
        import constriction
    except ImportError:
        raise ImportError(
            "constriction is not installed: pip install 'pixelcnn_tf[codec]'"
        ) from None
    return constriction.stream


class Encoder:
    """Writes symbols into one stream; `bytes()` finishes it."""

    def __init__(self):
        stream = _stream()
        self.model = stream.model
        self.coder = stream.queue.RangeEncoder()

    def bits(self, upper: np.ndarray, probabilities: np.ndarray) -> None:
        """Writes bits `[N]`; `probabilities` of 1, float64 `[N]`, in (0, 1)."""
        if len(upper):
            bernoulli = self.model.Bernoulli(perfect=False)
            self.coder.encode(upper.astype(np.int32), bernoulli, probabilities)

    def uniform(self, symbols: np.ndarray, size: int) -> None:
        """Writes integers 0 ... size - 1 with equal probabilities."""
        if size > 1:
            self.coder.encode(symbols.astype(np.int32), self.model.Uniform(size))

    def bytes(self) -> bytes:
        return self.coder.get_compressed().astype("<u4").tobytes()


class Decoder:
    """Reads the symbols of an `Encoder`, with the same probabilities in the same order.

    Args:
      data: the result of `Encoder.bytes`.
    """

    def __init__(self, data: bytes):
        stream = _stream()
        words = np.frombuffer(data, "<u4").astype(np.uint32)
        self.model, self.coder = stream.model, stream.queue.RangeDecoder(words)
        self.bernoulli = self.model.Bernoulli(perfect=False)

    def bits(self, probabilities: np.ndarray) -> np.ndarray:
        """Reads bool `[N]`. Raises CodecError if the probabilities are detectably different."""
        if not len(probabilities):
            return np.zeros(0, bool)
        try:
            return self.coder.decode(self.bernoulli, probabilities).astype(bool)
        except AssertionError:
            raise CodecError(NOT_THE_SAME) from None

    def uniform(self, num: int, size: int) -> np.ndarray:
        """Reads int32 `[num]`."""
        if size == 1 or not num:
            return np.zeros(num, np.int32)
        return self.coder.decode(self.model.Uniform(size), num)
