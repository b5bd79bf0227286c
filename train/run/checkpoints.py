"""Checkpoints of a run: written atomically, read back exactly."""

import contextlib
import os
import re
import shutil

import keras
import tensorflow as tf

from pixelcnn_tf.models.image_model import ImageModel
from train.errors import UserError, reason, writing
from train.files import move_into_place, write_text

NAME = "step"
UNFINISHED = "unfinished"  # so is called what is being written
MAX_TO_KEEP = 3
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # TensorFlow's own entry in a checkpoint


def steps_in(directory: str) -> list[int]:
    """Steps of the complete checkpoints in a folder, ascending."""
    names = os.listdir(directory) if os.path.isdir(directory) else []
    matches = (re.fullmatch(rf"{NAME}-(\d+)\.index", name) for name in names)
    return sorted(int(match[1]) for match in matches if match)


class Checkpoints:
    """The checkpoints in `<workdir>/checkpoints`: weights, averages, optimiser state.

    Everything else of a run (order of the data, dropout, learning rate) is a function of the
    step, which is the optimiser's `iterations` and the number in the file's name.

    Args:
      workdir: the run's folder.
      model: the trained model.
      averaged_model: the model that holds the Polyak averages.
      optimizer: a built Keras optimizer, or None to read weights and averages only.
      extras: dict of name -> list of further variables; a checkpoint may lack them, and they
        are left alone then.
    """

    def __init__(
        self,
        workdir: str,
        model: ImageModel,
        averaged_model: ImageModel,
        optimizer: keras.Optimizer | None = None,
        extras: dict | None = None,
    ):
        self.directory = os.path.join(workdir, "checkpoints")
        # Lists of variables, not models: tf.train.Checkpoint silently loses Keras layers that
        # are held in Python containers.
        parts = {
            "parameters": [variable.value for variable in model.trainable_variables],
            "averages": [variable.value for variable in averaged_model.trainable_variables],
        }
        if model.non_gradient_variables:
            parts["state"] = [variable.value for variable in model.non_gradient_variables]
            parts["averaged_state"] = [
                variable.value for variable in averaged_model.non_gradient_variables
            ]
        if optimizer is not None:
            parts["optimizer"] = [variable.value for variable in optimizer.variables]
        self.complete = optimizer is not None
        self.parts = parts
        self.names = [variable.path for variable in model.trainable_variables]
        self.extras = extras or {}
        self.checkpoint = tf.train.Checkpoint(**self.parts, **self.extras)

    def steps(self) -> list[int]:
        """Steps of the checkpoints on disk, ascending (from the files, not the state file)."""
        return steps_in(self.directory)

    def _steps_of(self, kind):
        """Steps of the files and folders whose ending matches `kind`, ascending."""
        matches = (re.match(rf"{NAME}-(\d+){kind}", name) for name in self._entries())
        return sorted({int(match[1]) for match in matches if match})

    def _entries(self):
        """The names of the files and folders there."""
        return os.listdir(self.directory) if os.path.isdir(self.directory) else []

    def prefix(self, step: int) -> str:
        return os.path.join(self.directory, f"{NAME}-{step}")

    def save(self, step: int) -> None:
        """Writes the checkpoint of `step`; once it is on the disk, older ones beyond the last 3
        are deleted.

        Raises:
          UserError: if it cannot be written; those before it are kept.
        """
        before = [old for old in self.steps() if old != step]
        kept = f"the last checkpoint is that of step {before[-1]}" if before else "there is none"
        advice = f" ({kept}; fix this, then rerun the same command to resume)"
        # TensorFlow counts its saves; as the step, a checkpoint is that of any other such run.
        self.checkpoint.save_counter.assign(step)
        unfinished = os.path.join(self.directory, UNFINISHED)
        try:
            with writing(f"the checkpoint of step {step}, {self.prefix(step)}", advice):
                os.makedirs(self.directory, exist_ok=True)
                self._delete(UNFINISHED)  # of a write that was killed
                self.checkpoint.write(unfinished)
                # In this order: .data-..., and .index, without which there is no checkpoint.
                names = sorted(n for n in self._entries() if n.startswith(UNFINISHED + "."))
                endings = [name.removeprefix(UNFINISHED) for name in names]
                move_into_place(unfinished, self.prefix(step), endings)
                self._write_state()
        except UserError:
            self._delete(UNFINISHED, f"{NAME}-{step}")  # what there is of it
            raise
        # Also what a killed run left.
        oldest = self.steps()[-MAX_TO_KEEP:][0]
        self._delete(*(f"{NAME}-{old}" for old in self._steps_of("[._]") if old < oldest))

    def _write_state(self):
        """Writes the file by which `tf.train.latest_checkpoint` finds the newest."""
        kept = self.steps()[-MAX_TO_KEEP:]
        lines = [f'model_checkpoint_path: "{NAME}-{kept[-1]}"']
        lines += [f'all_model_checkpoint_paths: "{NAME}-{step}"' for step in kept]
        write_text(os.path.join(self.directory, "checkpoint"), "\n".join(lines) + "\n")

    def _delete(self, *names):
        """Deletes all files of the checkpoints of these names."""
        for entry in self._entries():
            if re.split(r"[._]", entry)[0] in names:
                path = os.path.join(self.directory, entry)
                if os.path.isdir(path):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        os.remove(path)

    def restore(self, step: int) -> None:
        """Restores the checkpoint of `step`.

        Raises:
          UserError: if it is of another model than this one, naming a variable.
          Exception: one of TensorFlow's errors if it cannot be read.
        """
        path = self.prefix(step)
        shapes = dict(tf.train.list_variables(path))
        self._require_same_model(step, shapes)
        there = {name.split("/")[0] for name in shapes}
        extras = {name: part for name, part in self.extras.items() if name in there}
        status = tf.train.Checkpoint(**self.parts, **extras).restore(path)
        if self.complete and there <= {*self.parts, *extras, "save_counter", OBJECT_GRAPH}:
            status.assert_consumed()
        else:
            status.assert_existing_objects_matched().expect_partial()

    def _require_same_model(self, step, shapes):
        """Raises UserError unless the weights in a checkpoint have the shapes of the model's."""
        found = [name for name in shapes if re.match(r"parameters/\d+/", name)]
        if not found:
            return  # nothing of ours: TensorFlow says so
        here = self.parts["parameters"]
        problem = None
        for number, (name, variable) in enumerate(zip(self.names, here, strict=True)):
            shape = shapes.get(f"parameters/{number}/.ATTRIBUTES/VARIABLE_VALUE")
            if shape is not None and shape != variable.shape.as_list():
                problem = f"{name} is {shape} there, but {variable.shape.as_list()} here"
                break
        if problem is None and len(found) != len(here):
            problem = f"it has {len(found)} variables of weights, the model {len(here)}"
        if problem:
            raise UserError(
                f"{self.prefix(step)}: not of the model that config.json describes ({problem}); "
                "put back the values with which the run was started"
            )

    def _report_incomplete(self):
        for step in sorted({*self._steps_of(r"\.data-")} - {*self.steps()}):
            path = self.prefix(step)
            print(f"incomplete checkpoint {path} (no .index file), skipped", flush=True)

    def restore_latest(self) -> int | None:
        """Restores the newest checkpoint that can be read, saying which ones could not.

        Returns:
          Its step, or None if there is no checkpoint.

        Raises:
          UserError: if there are checkpoints, but none can be read, or if they are of another
            model.
        """
        self._report_incomplete()
        steps = self.steps()
        for step in reversed(steps):
            try:
                self.restore(step)
                return step
            except UserError:
                raise
            except Exception as error:  # TensorFlow's readers raise half a dozen types
                print(
                    f"checkpoint {self.prefix(step)} cannot be read ({reason(error)})", flush=True
                )
                if step != steps[0]:
                    print("falling back to the one before it", flush=True)
        if steps:
            raise UserError(
                f"none of the {len(steps)} checkpoints in {self.directory} can be read; restore "
                "them from a backup, or use another --workdir"
            )
        return None
