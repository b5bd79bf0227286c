"""Checkpoints of a run: written whole, read back exactly or not at all."""

import contextlib
import glob
import os
import re
import shutil

import tensorflow as tf

from train.errors import UserError, writing

NAME = "step"
MAX_TO_KEEP = 3
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # TensorFlow's own entry in a checkpoint


class Checkpoints:
    """The checkpoints in `<workdir>/checkpoints`: parameters, averages, optimiser state.

    Everything else of a run (order of the data, dropout, learning rate) is a function of the
    step, which is the optimiser's `iterations` and the number in the file's name.

    Args:
      workdir: the run's folder.
      model: the trained model.
      averaged_model: the model that holds the Polyak averages.
      optimizer: a built Keras optimizer, or None to read parameters and averages only.
      extras: dict of name -> list of further variables; a checkpoint may lack them, and they
        are left alone then.
    """

    def __init__(self, workdir, model, averaged_model, optimizer=None, extras=None):
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
        self.parts = parts
        self.extras = extras or {}
        self.checkpoint = tf.train.Checkpoint(**self.parts, **self.extras)

    def steps(self):
        """Steps of the checkpoints on disk, ascending (from the files, not the state file)."""
        return self._steps_of(r"index$")

    def _steps_of(self, kind):
        """Steps of the files whose ending matches `kind`, ascending."""
        paths = glob.glob(os.path.join(glob.escape(self.directory), f"{NAME}-*"))
        matches = (re.search(rf"{NAME}-(\d+)\.{kind}", path) for path in paths)
        return sorted({int(match[1]) for match in matches if match})

    def prefix(self, step):
        return os.path.join(self.directory, f"{NAME}-{step}")

    def save(self, step):
        """Writes the checkpoint of `step`; older ones beyond the last 3 are deleted.

        Raises:
          UserError: if it cannot be written; those before it are kept.
        """
        before = [old for old in self.steps() if old != step]
        kept = f"the last checkpoint is that of step {before[-1]}" if before else "there is none"
        advice = f" ({kept}; the same command goes on from there once this is mended)"
        manager = tf.train.CheckpointManager(
            self.checkpoint, self.directory, MAX_TO_KEEP, checkpoint_name=NAME
        )
        # TensorFlow counts its saves; as the step, a checkpoint is that of any other such run.
        self.checkpoint.save_counter.assign(step)
        try:
            with writing(f"the checkpoint of step {step}, {self.prefix(step)}", advice):
                manager.save(checkpoint_number=step)
        except UserError:
            self._delete(step)  # what there is of it
            raise
        # What a killed run left: checkpoints its manager forgot, and half-written ones.
        oldest = self.steps()[-MAX_TO_KEEP:][0]
        for old in {*self.steps(), *self._steps_of("data-")}:
            if old < oldest:
                self._delete(old)

    def _delete(self, step):
        for path in glob.glob(glob.escape(self.prefix(step)) + "[._]*"):
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.remove(path)

    def restore(self, step):
        """Restores the checkpoint of `step`. Raises one of TensorFlow's errors if it cannot."""
        path = self.prefix(step)
        there = {name.split("/")[0] for name, _ in tf.train.list_variables(path)}
        extras = {name: part for name, part in self.extras.items() if name in there}
        status = tf.train.Checkpoint(**self.parts, **extras).restore(path)
        if self.complete and there <= {*self.parts, *extras, "save_counter", OBJECT_GRAPH}:
            status.assert_consumed()
        else:
            status.assert_existing_objects_matched().expect_partial()

    def _tell_of_the_unfinished(self):
        for step in sorted({*self._steps_of("data-")} - {*self.steps()}):
            path = self.prefix(step)
            print(f"checkpoint {path} is not whole (it has no index): not used", flush=True)

    def restore_latest(self):
        """Restores the newest checkpoint that can be read, saying which ones could not.

        Returns:
          Its step, or None if there is no checkpoint.

        Raises:
          UserError: if there are checkpoints, but none can be read.
        """
        for leftover in glob.glob(os.path.join(glob.escape(self.directory), "*_temp")):
            shutil.rmtree(leftover, ignore_errors=True)  # of a write that was killed
        self._tell_of_the_unfinished()
        steps = self.steps()
        for step in reversed(steps):
            path = self.prefix(step)
            try:
                self.restore(step)
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
