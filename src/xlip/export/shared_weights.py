"""Weights that several ONNX graphs have in common as one file beside them, in ONNX's own form of external data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xlip.files import whole_file, write_whole

SMALLEST = 1024
"""Bytes; smaller tensors stay in their graphs, where runtimes fold constants."""
ALIGNED = 64
"""Bytes that an offset is a multiple of: a file that is mapped into memory then holds its numbers where a processor
reads them at once."""


def share_weights(files: Sequence[Path], weights: Path) -> None:
    """Move the weights of some graphs into one file, each tensor once, whichever graphs have it.

    The image tower is then on disk once, though it stands in two graphs. `weights` must lie in the folder of the
    graphs, which name it.
    """
    import onnx

    placed: dict[str, int] = {}
    end = 0
    with whole_file(weights) as stream:
        for file in files:
            model = onnx.load(str(file))
            for tensor in model.graph.initializer:
                if len(raw := tensor.raw_data) < SMALLEST:
                    continue
                key = hashlib.sha256(raw).hexdigest()
                if key not in placed:
                    padding = -end % ALIGNED
                    stream.write(bytes(padding) + raw)
                    placed[key], end = end + padding, end + padding + len(raw)
                _point(tensor, weights.name, placed[key], len(raw))
            write_whole(file, model.SerializeToString())
            file.with_name(f"{file.name}.data").unlink(missing_ok=True)  # where torch puts what fills no single file


def _point(tensor: Any, file: str, offset: int, length: int) -> None:
    """Let a tensor say where its bytes are."""
    import onnx

    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", file), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
