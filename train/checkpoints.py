"""Checkpoints of a run: written whole, read back exactly or not at all."""

import glob
import os
import re
import shutil

import tensorflow as tf

from train.errors import UserError

NAME = "step"
MAX_TO_KEEP = 3


class Checkpoints:
    """The checkpoints in `<workdir>/checkpoints`: parameters, averages, optimiser state.

    Everything else of a run (order of the data, dropout, learning rate) is a function of the
    step, which is the optimiser's `iterations` and the number in the file's name.

    Args:
      workdir: the run's folder.
      model: the trained model.
      averaged_model: the model that holds the Polyak averages.
      optimizer: a built Keras optimizer, or None to read parameters and averages only.
    """

    def __init__(self, workdir, model, averaged_model, optimizer=None):
        self.directory = os.path.join(workdir, "checkpoints")
        # Lists of variables, not models: tf.train.Checkpoint silently loses Keras layers that
        # are held in Python containers.
        parts = {
            "parameters": [variable.value for variable in model.trainable_variables],
            "averages": [variable.value for variable in averaged_model.trainable_variables],
        }
        if optimizer is not None:
            parts["optimizer"] = [variable.value for variable in optimizer.variables]
        self.complete = optimizer is not None
        self.checkpoint = tf.train.Checkpoint(**parts)

    def steps(self):
        """Steps of the checkpoints on disk, ascending (from the files, not the state file)."""
        paths = glob.glob(os.path.join(glob.escape(self.directory), f"{NAME}-*.index"))
        matches = (re.search(rf"{NAME}-(\d+)\.index$", path) for path in paths)
        return sorted(int(match[1]) for match in matches if match)

    def save(self, step):
        """Writes the checkpoint of `step`; older ones beyond the last 3 are deleted."""
        manager = tf.train.CheckpointManager(
            self.checkpoint, self.directory, MAX_TO_KEEP, checkpoint_name=NAME
        )
        return manager.save(checkpoint_number=step)

    def restore_latest(self):
        """Restores the newest checkpoint that can be read, saying which ones could not.

        Returns:
          Its step, or None if there is no checkpoint.

        Raises:
          UserError: if there are checkpoints, but none can be read.
        """
        for leftover in glob.glob(os.path.join(glob.escape(self.directory), "*_temp")):
            shutil.rmtree(leftover, ignore_errors=True)  # of a write that was killed
        steps = self.steps()
        for step in reversed(steps):
            path = os.path.join(self.directory, f"{NAME}-{step}")
            try:
                status = self.checkpoint.restore(path)
                if self.complete:
                    status.assert_consumed()
                else:
                    status.assert_existing_objects_matched().expect_partial()
                return step
            except Exception as error:  # TensorFlow's readers raise half a dozen types
                reason = str(getattr(error, "message", error)).splitlines()[0][:150]
                print(f"checkpoint {path} cannot be read ({reason})", flush=True)
                if step != steps[0]:
                    print("falling back to the one before it", flush=True)
        if steps:
            raise UserError(
                f"none of the {len(steps)} checkpoints in {self.directory} can be read; restore "
                "them from a backup, or use another --workdir"
            )
        return None
