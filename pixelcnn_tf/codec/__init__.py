"""Lossless compression of images by a model: its likelihood as bytes.

    from pixelcnn_tf import codec
    data = codec.encode(model, images)  # integer levels [N, H, W, C]
    assert (codec.decode(model, data) == images).all()

Needs the extra `codec`. How it works, and what it weighs: docs/compression.md.
"""

from pixelcnn_tf.codec.container import CodecError
from pixelcnn_tf.codec.files import Codec, Decoded, decode, encode

__all__ = ["Codec", "CodecError", "Decoded", "decode", "encode"]
