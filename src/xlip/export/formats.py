"""A traced graph as a file: ONNX, ONNX with matrices of 8 bits, or `.pt2`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from xlip.errors import XLIPError
from xlip.export.graphs import Graph, quiet

OPSET = 20
"""Of ONNX: the first that knows GELU as one operation, read by ONNX Runtime from 1.17 on. As five operations, which
ONNX Runtime does not fuse, it made the graphs slower by 3 to 8 % (`docs/log.md`)."""
NEEDED = ("onnx", "onnxscript", "onnxruntime")


def needs_onnx() -> None:
    """Before any work.

    Raises:
        XLIPError: a package of the extra `[onnx]` is not installed.
    """
    from importlib.util import find_spec

    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise XLIPError(f"export: needs the package {missing[0]}; install it with `pip install 'xlip[onnx]'`")


def write_onnx(graph: Graph, program: ExportedProgram, file: Path) -> None:
    """The graph as one ONNX file.

    Raises:
        XLIPError: torch cannot say one of its operations in ONNX.
    """
    try:
        with torch.no_grad(), quiet():
            made: Any = torch.onnx.export(
                program, (), kwargs=graph.inputs, opset_version=OPSET, dynamo=True, optimize=True, verbose=False,
                dynamic_shapes=graph.free, input_names=list(graph.inputs), output_names=list(graph.outputs),
            )  # fmt: skip
            _without_notes(made.model)
            made.save(str(file))
    except (torch.onnx.OnnxExporterError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise XLIPError(f"export: the {graph.name} graph cannot be written as ONNX ({reason})") from error


def _without_notes(model: Any) -> None:
    """Forget what torch notes beside each operation: names of its own, and lines of code with the places of files on
    the machine of the export, a seventh of a small graph's bytes.
    """
    graph = model.graph
    nodes = list(graph.all_nodes())
    values = [*graph.inputs, *graph.initializers.values(), *(value for node in nodes for value in node.outputs)]
    for noted in (model, graph, *nodes, *values):
        noted.metadata_props.clear()


def write_int8(file: Path, target: Path) -> None:
    """Matrices rounded to 8 bits, each column by its own scale; what goes in is rounded as it comes (dynamic).

    Convolutions stay as they are: quantised ones are slower on CPUs and hurt the most.
    """
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)  # it logs advice on preprocessing to the root logger
    try:
        with quiet():
            quantize_dynamic(
                file, target, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8
            )
    finally:
        root.setLevel(before)


def write_program(program: ExportedProgram, file: Path) -> None:
    """The traced graph for `torch.export.load`: no code of ours is needed to run it."""
    with quiet():
        torch.export.save(program, file)
