"""Lossless compression of images with a model's likelihood.

    from pixelcnn_tf import codec
    data = codec.encode(model, images)  # integer levels [N, H, W, C]
    assert (codec.decode(model, data) == images).all()

Needs the extra `codec`. docs/compression.md explains how it works and gives file sizes.
"""

from pixelcnn_tf.codec.container import CodecError
from pixelcnn_tf.codec.files import Codec, Decoded, decode, encode

__all__ = ["Codec", "CodecError", "Decoded", "decode", "encode"]
