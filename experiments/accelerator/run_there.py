"""Does the steps that `hand_over.py` wrote, on a machine with JAX (see there).

    python run_there.py <folder> <new folder for the results> --seconds=500 [--steps=N]

Writes `rows.jsonl` while it goes and `state.npz` at its end, which is the last step or the end of
the time, whichever comes first. Needs JAX 0.11 alone, of which it uses parts that are not public:
JAX offers no way to call a StableHLO module that it has not written itself.
"""

import argparse
import gzip
import json
import math
import os
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.export import _export
from jax._src.interpreters import mlir
from jaxlib.mlir import ir

PARTS = ("parameters", "averages", "first_moments", "second_moments")
# Of a warp: standard deviations of each entry of the matrix, and of shift and bending in pixels;
# all are cut at twice that. The bending is that of 5x5 points, smooth between them.
MATRIX, SHIFT, BEND, BEND_POINTS, CUT = 0.12, 1.0, 1.0, 5, 2.0


def load(path, results):
    """The function of a StableHLO module, with its results in a tuple of this many."""
    with gzip.open(path, "rt") as file:
        text = file.read()
    with mlir.make_ir_context():
        module = ir.Module.parse(text)
        main = next(o for o in module.body.operations if o.name.value == "main")
        ins, outs = ([aval_of(t) for t in s] for s in (main.type.inputs, main.type.results))
        serialized = _export._module_to_bytecode(module)
    if len(outs) != results:
        raise ValueError(f"{path} has {len(outs)} results: must be {results}")
    tree = jax.tree_util.tree_structure
    platform = jax.default_backend()
    exported = jax.export.Exported(
        fun_name=os.path.basename(path).split(".")[0],
        in_tree=tree((tuple(ins), {})),
        in_avals=tuple(ins),
        out_tree=tree(tuple(outs)),
        out_avals=tuple(outs),
        _in_named_shardings=(None,) * len(ins),
        _out_named_shardings=(None,) * len(outs),
        in_shardings_hlo=(None,) * len(ins),
        out_shardings_hlo=(None,) * len(outs),
        nr_devices=1,
        platforms=("cuda" if platform == "gpu" else platform,),
        ordered_effects=(),
        unordered_effects=(),
        disabled_safety_checks=(),
        mlir_module_serialized=serialized,
        calling_convention_version=jax.export.maximum_supported_calling_convention_version,
        module_kept_var_idx=tuple(range(len(ins))),
        uses_global_constants=False,
        _get_vjp=None,
    )
    return exported.call


def read_state(arrays):
    """Lists of the arrays of each part; of a run that begins, from its parameters."""
    parts = [
        [jnp.asarray(arrays[n]) for n in sorted(arrays) if n.startswith(part + "/")]
        for part in PARTS
    ]
    if not parts[1]:
        parts[1] = [jnp.array(p) for p in parts[0]]
        parts[2:] = ([jnp.zeros_like(p) for p in parts[0]] for _ in range(2))
    return jax.device_put(tuple(parts), jax.devices()[0])


def aval_of(kind):
    """JAX' description of an MLIR type."""
    names = {"f32": "float32", "i32": "int32", "ui8": "uint8", "ui16": "uint16"}
    kind = ir.RankedTensorType(kind)
    return jax.core.ShapedArray(tuple(kind.shape), jnp.dtype(names[str(kind.element_type)]))


def warp(images, seed):
    """Each image turned, sheared, stretched and bent a little, at random: `[B, H, W, C]`, its own
    values only (the nearest pixel's), the lowest level from outside."""
    size, height, width, _ = images.shape
    key = jax.random.fold_in(jax.random.key(seed[0]), seed[1])
    keys = jax.random.split(key, 3)

    def draw(key, *shape):
        return jax.random.normal(key, (size, *shape)).clip(-CUT, CUT)

    matrix = jnp.eye(2) + MATRIX * draw(keys[0], 2, 2)
    shift = SHIFT * draw(keys[1], 2)
    bend = BEND * draw(keys[2], BEND_POINTS, BEND_POINTS, 2)
    bend = jax.image.resize(bend, (size, height, width, 2), "cubic")
    grid = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), axis=-1)
    centre = jnp.array([(height - 1) / 2, (width - 1) / 2])
    places = jnp.einsum("bij,hwj->bhwi", matrix, grid - centre) + centre
    places = jnp.round(places + shift[:, None, None] + bend).astype(jnp.int32)
    inside = ((places >= 0) & (places < jnp.array([height, width]))).all(axis=-1, keepdims=True)
    rows, columns = places[..., 0].clip(0, height - 1), places[..., 1].clip(0, width - 1)
    taken = images[jnp.arange(size)[:, None, None], rows, columns]
    return jnp.where(inside, taken, 0).astype(images.dtype)


def make_steps(plan, gradients):
    """`(state, images, indices [K, B], seeds [K, 2], rates [K], epsilons [K]) -> state, losses`."""
    beta_1, beta_2, share = plan["beta_1"], plan["beta_2"], 1.0 - plan["polyak_decay"]

    def one(state, inputs, images):
        indices, seed, rate, epsilon = inputs
        parameters, averages, first, second = state
        size = indices.shape[0]
        places = jnp.arange(size, dtype=jnp.int32)[:, None]
        seeds = jnp.concatenate([jnp.broadcast_to(seed, (size, 2)), places], axis=1)
        read = [parameters[n] for n in plan["step_reads"]]
        batch = images[indices.astype(jnp.int32)]
        if plan["marked_warps"]:
            batch = jnp.concatenate([batch[: size // 2], warp(batch[size // 2 :], seed)])
        loss, *grads = gradients(batch, seeds, *read)
        first = [m + (g - m) * (1 - beta_1) for m, g in zip(first, grads, strict=True)]
        second = [v + (g * g - v) * (1 - beta_2) for v, g in zip(second, grads, strict=True)]
        parameters = [
            p - rate * (m * jax.lax.rsqrt(v + epsilon))
            for p, m, v in zip(parameters, first, second, strict=True)
        ]
        averages = [s - share * (s - p) for s, p in zip(averages, parameters, strict=True)]
        return (parameters, averages, first, second), loss

    def steps(state, images, *inputs):
        return jax.lax.scan(lambda s, i: one(s, i, images), state, inputs)

    return jax.jit(steps, donate_argnums=0)


def make_score(plan, losses):
    """`(weights, images) -> mean loss an image`."""
    function = jax.jit(
        lambda weights, images: losses(images, *[weights[n] for n in plan["score_reads"]])[0]
    )

    def score(weights, images):
        size, total = plan["scored_at_once"], 0.0
        for begin in range(0, len(images), size):
            part = images[begin : begin + size]
            missing = size - len(part)
            padded = jnp.pad(part, [(0, missing)] + [(0, 0)] * 3) if missing else part
            total += float(np.asarray(function(weights, padded), np.float64)[: len(part)].sum())
        return total / len(images)

    return score


def main():
    began = time.monotonic()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("results")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--steps", type=int, default=0, help="at most so many")
    parser.add_argument("--keep", choices=("last", "best"), default="last", help="which state")
    arguments = parser.parse_args()
    os.makedirs(arguments.results)
    with open(os.path.join(arguments.folder, "plan.json")) as file:
        plan = json.load(file)
    arrays = dict(np.load(os.path.join(arguments.folder, "state.npz")))
    state = read_state(arrays)
    for name in (plan["images"], plan["order"]):
        arrays |= np.load(os.path.join(arguments.folder, "..", name))
    path = os.path.join(arguments.folder, "{}.mlir.gz").format
    steps = make_steps(plan, load(path("step"), 1 + len(state[0])))
    score = make_score(plan, load(path("score"), 1))
    images, scored = jax.device_put((arrays["train"], arrays["scored"]), jax.devices()[0])
    inputs = [arrays[name] for name in ("indices", "seeds", "rates", "epsilons")]
    batch = inputs[0].shape[1]
    last = plan["last"]
    if arguments.steps:
        last = min(last, plan["first"] + arguments.steps)
    dims = plan["values"] * math.log(2.0)

    rows = open(os.path.join(arguments.results, "rows.jsonl"), "w", buffering=1)

    def write(**row):
        rows.write(json.dumps(row) + "\n")
        name = os.path.basename(arguments.folder)
        seconds = time.monotonic() - began
        shown = {k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()}
        print(f"[{seconds:6.1f} s] {name} {shown}", flush=True)

    chunk = plan["log_every"]
    step, window = plan["first"], []
    clock, timed, best, compiled = None, 0, None, set()
    while step < last and time.monotonic() - began < arguments.seconds:
        intervals = [every for every in (chunk, plan["eval_every"]) if every]
        count = min([last, *((step // every + 1) * every for every in intervals)]) - step
        if count < chunk:  # one program for all: the rest step by step
            count = 1
        begin = step - plan["first"]
        start = time.monotonic()
        state, losses = steps(state, images, *[x[begin : begin + count] for x in inputs])
        window += np.asarray(losses, np.float64).tolist()
        if count not in compiled:  # each number of steps is a program of its own
            compiled.add(count)
            write(step=step + count, compiled_and_first=time.monotonic() - start)
            clock, timed = time.monotonic(), 0
        else:
            timed += count
        step += count
        if step % chunk == 0 or step == last:
            loss = sum(window) / len(window) / batch
            # Of the steps after the compilation.
            seconds = time.monotonic() - clock
            speed = {"images_per_sec": timed * batch / seconds} if timed else {}
            write(step=step, bits=loss / dims, first_losses=window[:5], **speed)
            window = []
            clock, timed = time.monotonic(), 0
            if not math.isfinite(loss):
                state = None
                break
        due = plan["eval_every"] and step % plan["eval_every"] == 0
        if due or step == last:
            start = time.monotonic()
            averaged, raw = (score(weights, scored) for weights in (state[1], state[0]))
            write(step=step, averaged=averaged, raw=raw, seconds=time.monotonic() - start)
            clock, timed = time.monotonic(), 0
            if best is None or averaged < best[0]:
                best = averaged, step, jax.tree.map(jnp.copy, state)
    half = jnp.bfloat16
    if arguments.keep == "best" and best is not None:
        _, step, state = best
    if state is None:
        sys.exit(f"the loss is {loss} a batch before step {step}: no state is written")
    saved = {"first": np.asarray(plan["first"]), "step": np.asarray(step)}
    for part, several in zip(PARTS, state, strict=True):
        for n, array in enumerate(several):
            if part.endswith("moments"):  # half the bytes to carry back
                array = np.asarray(array.astype(half)).view(np.uint16)
            saved[f"{part}/{n:04}"] = np.asarray(array)
    unfinished = os.path.join(arguments.results, "unfinished.npz")
    np.savez(unfinished, **saved)
    os.rename(unfinished, os.path.join(arguments.results, "state.npz"))


if __name__ == "__main__":
    main()
