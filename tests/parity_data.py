"""Reads the fixtures in `tests/parity`: numbers computed with the official code (see there)."""

import functools
import json
import pathlib

import numpy as np

from pixelcnn_tf import PixelCNNPlusPlus, official

DIRECTORY = pathlib.Path(__file__).parent / "parity"


@functools.cache
def manifest():
    return json.loads((DIRECTORY / "manifest.json").read_text())


class Case:
    """A case of the manifest: `case.config`, `case.scalars`, and its arrays as `case[key]`."""

    def __init__(self, case_id):
        entry = next(case for case in manifest()["cases"] if case["id"] == case_id)
        self.config = entry["config"]
        self.scalars = entry["scalars"]
        self.variables = entry.get("variables", [])
        with np.load(DIRECTORY / entry["file"]) as file:
            self.arrays = dict(file)

    def __getitem__(self, key):
        return self.arrays[key]

    def get(self, key):
        return self.arrays.get(key)

    def masks(self):
        return [self.arrays[key] for key in sorted(self.arrays) if key.startswith("dropout_mask/")]

    def named(self, vector):
        """A flat vector of all variables as a dict by official name."""
        return {
            v["name"]: vector[v["offset"] : v["offset"] + v["size"]].reshape(v["shape"])
            for v in self.variables
        }

    def with_gb(self, values, gb_vector):
        """`values` with the g and b variables replaced by those of a flat `*_gb` vector."""
        values, offset = dict(values), 0
        for v in self.variables:
            if v["name"].endswith(("/g", "/b")):
                values[v["name"]] = gb_vector[offset : offset + v["size"]].reshape(v["shape"])
                offset += v["size"]
        assert offset == len(gb_vector)
        return values

    def model(self, values=None, **changes):
        config = self.config
        arguments = {
            key: config[key]
            for key in (
                "nr_resnet",
                "nr_filters",
                "nr_logistic_mix",
                "resnet_nonlinearity",
                "dropout_p",
                "energy_distance",
            )
        }
        arguments["num_classes"] = config["num_labels"]
        model = PixelCNNPlusPlus(tuple(config["image_shape"]), **(arguments | changes))
        if values is not None:
            official.assign_variables(model, values)
        return model
