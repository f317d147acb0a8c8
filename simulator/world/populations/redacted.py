"""A recording that can be shared: its hidden columns dropped and hashed, in event order, as Parquet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simulator.scenario.load import load_model
from simulator.world.populations import recorded
from simulator.world.recording import Recording
from simulator.world.table import read


def write(path: Path, folder: Path) -> Path:
    """Write the recording of that population file into `folder`, without what nobody is to see; the new file.

    Raises:
        BadInput: As `recorded.load`.
    """
    population = recorded.load(path)
    recording = load_model(path, Recording)
    table = read(path.parent / recording.file)
    hidden = recorded.hidden(path, table, recording, recorded.key_of(recording).encode())
    order = np.argsort(recorded.moments(table, recording.time), kind="stable").tolist()
    columns = {
        name: pa.array([column[i] for i in order])
        for name, column in hidden.columns.items()
        if name not in recording.drop
    }
    folder.mkdir(parents=True, exist_ok=True)
    name = path.name.removesuffix(recorded.SUFFIX)
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    said = recording.model_dump(mode="json", exclude={"drop", "hash"}, exclude_none=True)
    said |= {"file": f"{name}.parquet", "kinds": {field.name: field.kind for field in population.fields}}
    if recording.label is not None and recording.label.after is not None:
        said["label"]["after"] = f"{recording.label.after}ns"
    made = folder / path.name
    made.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")  # JSON is YAML
    return made
