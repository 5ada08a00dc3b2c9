"""Running TensorFlow graphs through Essentia: without its log, on the job's threads, and after a check of the graph."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mirflow.core.errors import MirflowError

PACKAGE = "essentia-tensorflow"

# What TensorFlow 2.5, which is part of that package, loads for a GPU. Where a library is missing it runs on the CPU,
# and only its log says so.
GPU_DRIVER = "libcuda.so.1"
GPU_LIBRARIES = ("libcudart.so.11.0", "libcublas.so.11", "libcublasLt.so.11", "libcufft.so.10", "libcurand.so.10",
                 "libcusolver.so.11", "libcusparse.so.11", "libcudnn.so.8")  # fmt: skip

# Operations that touch files, sockets or Python: a network never needs them, and a graph with them could do harm.
# These are parts of the names of TensorFlow's kernels, since there are versions (SaveV2) and kinds (EagerPyFunc).
FORBIDDEN = (
    "WriteFile",
    "ReadFile",
    "MatchingFiles",
    "PyFunc",
    "Save",
    "Restore",
    "MergeV2Checkpoints",
    "PrintV2",
    "Summary",
    "Reader",
    "FixedLengthRecord",
    "TextLineDataset",
    "TFRecord",
    "RpcClient",
    "LoadDataset",
    "Dump",
)
ENDS = ("Placeholder", "Sigmoid", "Softmax", "Identity", "BiasAdd", "PartitionedCall", "StatefulPartitionedCall")


def run(
    algorithm: str,
    values: np.ndarray,
    graph: Path,
    *,
    trusted: bool = True,
    gpu: bool = False,
    batch: int | None = None,
    **nodes: str,
) -> np.ndarray:
    """Run one of Essentia's TensorFlow algorithms on samples or features; return the values of its output node.

    The calling process must not be a fork of a process that has created such an algorithm: a fork lacks TensorFlow's
    threads, and would wait for them for ever (see `mirflow.dsp.essentia_algorithms`).

    Parameters
    ----------
    algorithm : for example TensorflowPredictMusiCNN (samples float32 [n]) or TensorflowPredict2D ([patch, dimension])
    trusted : whether the catalogue has the file's hash; otherwise graphs with operations out of `FORBIDDEN` are refused
    batch : patches at a time; default: the algorithm's own number
    nodes : `input` and `output`, where they differ from the algorithm's own

    Returns
    -------
    float32 [patch, dimension]

    Raises
    ------
    MirflowError : the graph is damaged, has no such node, or expects another shape; names the file
    """
    check(graph, *nodes.values(), trusted=trusted)
    _environment(gpu)
    import essentia

    essentia.log.infoActive = essentia.log.warningActive = False
    # essentia.standard creates all 270 algorithms when it is imported, which takes 0.8 s. This is what its classes do.
    from essentia import _essentia, common

    try:
        network = _essentia.Algorithm(algorithm)
        given = {"graphFilename": str(graph), **nodes} | ({"batchSize": batch} if batch else {})
        network.__configure__(
            **{key: common.convertData(value, network.paramType(key)) for key, value in given.items()}
        )
        kind = common.Edt(network.inputType(network.inputNames()[0]))
        output = network.__compute__(common.convertData(np.ascontiguousarray(values, np.float32), kind))
    except RuntimeError as error:
        wanted = ", ".join(f"{key} {name}" for key, name in nodes.items()) or "its own node names"
        raise MirflowError(f"{graph}: not the graph that {algorithm} expects ({wanted}): {_short(error)}") from error
    output = np.asarray(output, np.float32)
    if output.ndim != 2:
        raise MirflowError(f"{graph}: {algorithm} gives shape {output.shape}, [patch, dimension] is expected")
    if not np.isfinite(output).all():
        raise MirflowError(f"{graph}: {algorithm} gives numbers that are not finite")
    return output


def _environment(gpu: bool) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
    for pool in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(pool, os.environ.get("OMP_NUM_THREADS", "1"))
    if gpu:
        check_gpu()
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # otherwise it takes all of the GPU's memory
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def check_gpu() -> None:
    """Check that TensorFlow will find a GPU.

    Raises
    ------
    MirflowError : it would not; names what is missing
    """
    missing = []
    for library in (GPU_DRIVER, *GPU_LIBRARIES):
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(library)
    if not missing:
        driver, count = ctypes.CDLL(GPU_DRIVER), ctypes.c_int()
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0:
            return
        missing = ["a GPU that works"]
    raise MirflowError(
        f"labels.device is gpu, but {PACKAGE} needs CUDA 11.2 and cuDNN 8 and does not find {', '.join(missing)};"
        " labels.device: cpu needs none of them"
    )


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}..."


def check(graph: Path, *nodes: str, trusted: bool = True) -> None:
    """Check that a file is a frozen graph with these nodes and, unless trusted, without operations out of `FORBIDDEN`.

    Parameters
    ----------
    nodes : names, which may end with the number of an output: "PartitionedCall:1"

    Raises
    ------
    MirflowError : it is not; names the file, and what it holds instead
    """
    try:
        operations = read(graph)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise MirflowError(
            f"{graph}: a frozen TensorFlow graph is expected; the file is damaged or something else"
        ) from error
    except FileNotFoundError as error:
        raise MirflowError(f"{graph} is missing") from error
    if not operations:
        raise MirflowError(f"{graph}: a frozen TensorFlow graph is expected; this one is empty")
    names = {name for name, _ in operations}
    for node in nodes:
        if node.partition(":")[0] not in names:
            ends = [name for name, kind in operations if kind in ENDS]
            raise MirflowError(f"{graph}: no node {node!r} in it; likely ones are {', '.join(ends[-8:]) or 'none'}")
    forbidden = sorted({kind for _, kind in operations if any(part in kind for part in FORBIDDEN)})
    if forbidden and not trusted:
        raise MirflowError(
            f"{graph}: refused, since it can do more than compute ({', '.join(forbidden)})"
            " and models.yaml has no sha256 for it"
        )


def read(graph: Path) -> list[tuple[str, str]]:
    """Return the name and the operation of every node of a GraphDef, including the nodes of its functions.

    Raises
    ------
    ValueError, IndexError, UnicodeDecodeError : the file is not such a protocol buffer
    """
    content = memoryview(Path(graph).read_bytes())
    nodes = []
    for field, value in fields(content):
        if field == 1:  # GraphDef.node
            nodes.append(_node(value))
        elif field == 2:  # GraphDef.library: its functions, and their nodes
            functions = [function for number, function in fields(value) if number == 1]
            nodes += [_node(inner) for function in functions for number, inner in fields(function) if number == 3]
    return nodes


def _node(content: memoryview) -> tuple[str, str]:
    found = {number: value for number, value in fields(content) if number in (1, 2)}
    return str(found[1], "utf-8") if 1 in found else "", str(found[2], "utf-8") if 2 in found else ""


def fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the length-delimited fields of a protocol buffer message, as number and content."""
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        if tag >> 3 == 0:
            raise ValueError("not a protocol buffer")
        kind = tag & 7
        if kind == 0:
            _, place = _varint(content, place)
        elif kind == 2:
            length, place = _varint(content, place)
            if place + length > len(content):
                raise ValueError("cut off")
            yield tag >> 3, content[place : place + length]
            place += length
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError("not a protocol buffer")


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("not a protocol buffer")
