"""A conditioning map at the resolution of every stage."""

import tensorflow as tf

MAPS = "maps"  # their key in the conditions of the sampler; the other keys are names of blocks


def condition_maps(h: tf.Tensor, num_stages: int) -> tuple[tf.Tensor, ...]:
    """The map `[B, H, W, D]` at each stage: padded with zeros to a multiple of 2 ** (stages - 1)
    like the image, and its means over 2 x 2, 4 x 4, ... pixels."""
    multiple = 2 ** (num_stages - 1)
    missing = [[0, -size % multiple] for size in h.shape[1:3]]
    maps = [tf.pad(h, [[0, 0], *missing, [0, 0]])]
    for _ in range(num_stages - 1):
        maps.append(tf.nn.avg_pool2d(maps[-1], 2, 2, "VALID"))
    return tuple(maps)


def row_conditions(conditions: dict, row: tf.Tensor, phase: int) -> dict:
    """The conditions of a row: for maps `[H, W, B, D]`, one per stage, the row `[W, B, D]` of every
    active stage, else None; vectors are returned as they are."""
    if MAPS not in conditions:
        return conditions
    rows = [
        tf.gather(each, row // 2**stage) if phase % 2**stage == 0 else None
        for stage, each in enumerate(conditions[MAPS])
    ]
    return {MAPS: rows}
