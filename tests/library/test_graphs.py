"""The operations in the graphs of training, scoring and sampling.

No GPU is needed: the installed TensorFlow carries the list of all its kernels, those of CUDA too.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import SMALLEST
from tensorflow.python.framework.kernels import get_registered_kernels_for_op

from pixelcnn_tf import (
    GatedPixelCNN,
    OfficialAdam,
    PixelCNN,
    PixelCNNPlusPlus,
    PolyakAverage,
    sampling,
)
from pixelcnn_tf.random import batch_places

SHAPE, BATCH = (8, 8, 3), 2
XLA_KNOWS = {"Placeholder", "NoOp"}  # besides what has a kernel
LOOPS = {"While", "StatelessWhile", "For", "MapDefun"}
# Run by the executor itself, on whatever device.
WITHOUT_KERNELS = {"PartitionedCall", "StatefulPartitionedCall", "If", "StatelessIf"} | LOOPS

TWO_STAGES = SMALLEST | dict(num_stages=2)  # a third stage has the same operations
MODELS = {
    "pixelcnn_pp": (PixelCNNPlusPlus, TWO_STAGES),
    "pixelcnn_pp energy": (PixelCNNPlusPlus, TWO_STAGES | dict(energy_distance=True)),
    "pixelcnn_pp conditional": (
        PixelCNNPlusPlus,
        TWO_STAGES | dict(num_classes=3, remat=True),
    ),
    "pixelcnn": (PixelCNN, dict(nr_resnet=1, nr_filters=6, num_head_filters=6)),
    "gated_pixelcnn": (
        GatedPixelCNN,
        dict(nr_resnet=1, nr_filters=6, num_head_filters=6, num_classes=3),
    ),
}


def operations(function, *arguments):
    """The nodes of a function's graph and of all that it calls."""
    definition = function.get_concrete_function(*arguments).graph.as_graph_def()
    return [*definition.node, *(node for f in definition.library.function for node in f.node_def)]


def on_a_gpu(node):
    """Whether TensorFlow has a kernel of this operation, of these types, that a GPU runs."""

    def fits(kernel):
        for constraint in kernel.constraint:
            value = node.attr[constraint.name]
            types = value.list.type or [value.type]
            if not set(types) <= set(constraint.allowed_values.list.type):
                return False
        return kernel.device_type in ("GPU", "DEFAULT")

    # The text of an `Assert` stays on the host.
    text = node.op == "Const" and node.attr["dtype"].type == tf.string.as_datatype_enum
    return (
        text
        or node.op in WITHOUT_KERNELS
        or any(fits(kernel) for kernel in get_registered_kernels_for_op(node.op).kernel)
    )


def xla_knows(node):
    """Whether XLA can compile this operation (`--jit_compile`, `jit_compile=True`)."""
    kernels = get_registered_kernels_for_op(node.op).kernel
    return node.op in XLA_KNOWS or any(kernel.device_type == "XLA_CPU_JIT" for kernel in kernels)


def check(nodes, may_loop):
    assert len(nodes) > 50
    unknown = {node.op for node in nodes if not xla_knows(node)}
    assert not unknown, f"XLA does not know these: {sorted(unknown)}"
    loops = {node.name for node in nodes if node.op in LOOPS}
    assert may_loop or not loops, f"loops: {sorted(loops)}"
    on_cpu = {(node.op, str(node.attr["T"].type)) for node in nodes if not on_a_gpu(node)}
    assert not on_cpu, f"these would fall back to the CPU: {sorted(on_cpu)}"


def make(name, dtype="float32"):
    kind, arguments = MODELS[name]
    model = kind(SHAPE, **arguments, dtype=dtype)
    return model, tf.constant([0, 2]) if model.num_classes else None


def training_step(name, dtype):
    """The nodes of a training step's graph, and its model."""
    model, labels = make(name, dtype)
    optimizer = OfficialAdam()
    optimizer.build(model.trainable_variables)
    average = PolyakAverage(model, make(name)[0])

    @tf.function(autograph=False)
    def step(images, seeds):
        with tf.GradientTape() as tape:
            parameters = model(images, labels, training=True, seed=seeds)
            loss = tf.reduce_sum(model.likelihood.loss(images, parameters))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        average.update()
        return loss

    return operations(step, tf.zeros([BATCH, *SHAPE]), batch_places(1, BATCH)), model


@pytest.mark.parametrize(
    "name, dtype",
    [
        ("pixelcnn_pp", "float32"),
        pytest.param("pixelcnn_pp energy", "float32", marks=pytest.mark.slow),
        pytest.param("pixelcnn_pp conditional", "mixed_bfloat16", marks=pytest.mark.slow),
        ("pixelcnn", "float32"),
        ("gated_pixelcnn", "float32"),
    ],
)
def test_training_step_has_no_loop_and_runs_on_a_gpu(name, dtype):
    nodes, _ = training_step(name, dtype)
    check(nodes, may_loop=False)


@pytest.mark.parametrize("name", ["pixelcnn_pp", "pixelcnn", "gated_pixelcnn"])
def test_bfloat16_casts_each_weight_once_and_nothing_between_the_blocks(name):
    """`V` and `g` make one kernel; the heads are float32. Besides the weights, the images are
    cast, and what leaves the blocks, with its gradient."""
    nodes, model = training_step(name, "mixed_bfloat16")
    paths = [variable.path for variable in model.trainable_variables]
    weights = sum("_head/" not in path and not path.endswith("/g") for path in paths)
    constants = {node.name for node in nodes if node.op == "Const"}

    def casts(source, target):
        wanted = [tf.as_dtype(name).as_datatype_enum for name in (source, target)]
        return [
            node.input[0]
            for node in nodes
            if node.op == "Cast"
            and [node.attr["SrcT"].type, node.attr["DstT"].type] == wanted
            and node.input[0].split(":")[0] not in constants
        ]

    down = casts("float32", "bfloat16")
    assert len(set(down)) == len(down), "cast twice"
    assert len(down) == weights + 2
    assert len(casts("bfloat16", "float32")) == weights + 1  # their gradients, and what leaves


def test_adam_begins_with_the_last_layers():
    """Whose gradients are there first; else all of them wait in memory for the first layer's."""
    variables = [keras.Variable(np.zeros([size], np.float32)) for size in (1, 2, 3)]
    optimizer = OfficialAdam()
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(*gradients):
        optimizer.apply(gradients, variables)

    graph = step.get_concrete_function(*(tf.zeros([size]) for size in (1, 2, 3))).graph
    updates = [op for op in graph.get_operations() if op.type == "ResourceApplyAdam"]
    assert [op.inputs[-1].shape[0] for op in updates] == [3, 2, 1]
    waiting = [{other.type for other in op.control_inputs} for op in updates]
    assert "Mul" not in waiting[0] and all("Mul" in types for types in waiting[1:])


def test_adam_built_by_its_first_step_has_its_moments_in_the_order_of_the_variables():
    variables = [keras.Variable(np.zeros([size], np.float32)) for size in (1, 2, 3)]
    optimizer = OfficialAdam()
    optimizer.apply([tf.ones([size]) for size in (1, 2, 3)], variables)
    assert [moment.shape[0] for moment in optimizer.first_moments] == [1, 2, 3]


def test_adam_rejects_unmatched_gradients_and_variables():
    gradient, variable = tf.ones([2]), keras.Variable(tf.zeros([2]))
    with pytest.raises(ValueError, match="trainable_variables=None"):
        OfficialAdam().apply([gradient])
    with pytest.raises(ValueError, match="grads: .*1 for 2 variables"):
        OfficialAdam().apply([gradient], [variable, keras.Variable(tf.zeros([2]))])


@pytest.mark.parametrize("name", ["pixelcnn_pp", "pixelcnn", "gated_pixelcnn"])
def test_scoring_has_no_loop_and_runs_on_a_gpu(name):
    model, labels = make(name)
    score = tf.function(model.log_prob, autograph=False)
    specs = [tf.TensorSpec([None, *SHAPE])]
    specs += [] if labels is None else [tf.TensorSpec([None], tf.int32)]
    check(operations(score, *specs), may_loop=False)


@pytest.mark.parametrize("name", ["pixelcnn_pp", "gated_pixelcnn"])
def test_sampling_runs_on_a_gpu(name):
    model, labels = make(name)

    @tf.function(autograph=False)
    def draw(seeds, labels=None):
        uniforms = sampling.pixel_uniforms(model, seeds)
        images = tf.zeros([tf.shape(seeds)[0], *SHAPE])
        return sampling.complete_unchecked(model, images, images[..., 0] > 0, uniforms, labels)

    specs = [tf.TensorSpec([None, 2], tf.int32)]
    specs += [] if labels is None else [tf.TensorSpec([None], tf.int32)]
    check(operations(draw, *specs), may_loop=True)


def test_operations_without_gpu_kernels_are_found():
    """`tf.strings` has no kernel on a GPU; nor has a convolution of integers."""
    function = tf.function(
        lambda x: [tf.strings.as_string(x + float(n)) for n in range(60)], autograph=False
    )
    with pytest.raises(AssertionError, match="AsString"):
        check(operations(function, tf.zeros([2])), may_loop=False)
