"""What a pass of a network costs, counted from its graph."""

import math

import tensorflow as tf


def forward_flops(model) -> int:
    """Multiply-adds of the convolutions and products for one image, times 2."""
    function = tf.function(lambda images: model(images), autograph=False)
    graph = function.get_concrete_function(tf.TensorSpec([1, *model.image_shape])).graph
    total = 0
    for operation in graph.get_operations():
        shapes = [tensor.shape.as_list() for tensor in operation.inputs]
        if operation.type == "Conv2D":
            total += math.prod(shapes[1]) * math.prod(operation.outputs[0].shape[1:3])
        elif operation.type == "Conv2DBackpropInput":  # a transposed convolution
            total += math.prod(shapes[1]) * math.prod(shapes[2][1:3])
        elif operation.type == "MatMul":
            total += math.prod(shapes[1]) * shapes[0][0]
    return 2 * total
