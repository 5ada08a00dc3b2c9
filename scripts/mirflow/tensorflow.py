"""Running TensorFlow graphs through Essentia: quietly, on the job's threads, and only graphs that compute."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mirflow.errors import MirflowError

PACKAGE = "essentia-tensorflow"

# What TensorFlow 2.5, which is in that package, loads for a GPU. Where one is missing it runs on the CPU, and only its
# log says so.
GPU_DRIVER = "libcuda.so.1"
GPU_LIBRARIES = ("libcudart.so.11.0", "libcublas.so.11", "libcublasLt.so.11", "libcufft.so.10", "libcurand.so.10",
                 "libcusolver.so.11", "libcusparse.so.11", "libcudnn.so.8")  # fmt: skip

# Operations that reach out of the graph: what a network never needs, and what would make its file a program. Parts of
# the names of TensorFlow's kernels, since there are versions (SaveV2) and kinds (EagerPyFunc).
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
    known: bool = True,
    gpu: bool = False,
    batch: int | None = None,
    **nodes: str,
) -> np.ndarray:
    """Run one of Essentia's TensorFlow algorithms: samples or features in, the output node's values out.

    The calling process must be no fork of one that has run or merely made such an algorithm: TensorFlow's threads would
    be missing, and it would wait for them for ever (see `mirflow.dsp.essentia_algorithms`).

    Parameters
    ----------
    algorithm : for example TensorflowPredictMusiCNN (samples float32 [n]) or TensorflowPredict2D ([patch, dimension])
    known : whether somebody has vouched for the file by its hash; if not, it may only compute
    batch : patches at a time, if not as many as the algorithm takes by itself
    nodes : `input` and `output`, where they differ from the algorithm's own

    Returns
    -------
    float32 [patch, dimension]

    Raises
    ------
    MirflowError : the graph is damaged, has no such node, or expects another shape; naming the file
    """
    check(graph, *nodes.values(), known=known)
    _environment(gpu)
    import essentia

    essentia.log.infoActive = essentia.log.warningActive = False
    # essentia.standard instantiates all 270 algorithms when it is imported, 0.8 s; this is what its classes do inside.
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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only: it reports on the machine at length
    for pool in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(pool, os.environ.get("OMP_NUM_THREADS", "1"))
    if gpu:
        check_gpu()
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # it would take the whole memory at once
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def check_gpu() -> None:
    """Check that TensorFlow will find a GPU.

    Raises
    ------
    MirflowError : it would not, naming what it lacks
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


def check(graph: Path, *nodes: str, known: bool = True) -> None:
    """Check that a file is a frozen graph with these nodes and, unless it is known, no operations that touch files.

    Parameters
    ----------
    nodes : names, perhaps with the number of an output: "PartitionedCall:1"

    Raises
    ------
    MirflowError : naming the file, and what it has instead
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
        raise MirflowError(f"{graph}: a frozen TensorFlow graph is expected; there is no operation in it")
    names = {name for name, _ in operations}
    for node in nodes:
        if node.partition(":")[0] not in names:
            ends = [name for name, kind in operations if kind in ENDS]
            raise MirflowError(f"{graph}: no node {node!r} in it; likely ones are {', '.join(ends[-8:]) or 'none'}")
    forbidden = sorted({kind for _, kind in operations if any(part in kind for part in FORBIDDEN)})
    if forbidden and not known:
        raise MirflowError(
            f"{graph}: refused, since it can do more than compute ({', '.join(forbidden)})"
            " and models.yaml has no sha256 for it"
        )


def read(graph: Path) -> list[tuple[str, str]]:
    """Return name and operation of all nodes of a GraphDef, those of its functions too.

    Raises
    ------
    ValueError, IndexError, UnicodeDecodeError : when the file is no such protocol buffer
    """
    content = memoryview(Path(graph).read_bytes())
    nodes = []
    for field, value in _fields(content):
        if field == 1:  # GraphDef.node
            nodes.append(_node(value))
        elif field == 2:  # GraphDef.library, its functions, their nodes
            functions = [function for number, function in _fields(value) if number == 1]
            nodes += [_node(inner) for function in functions for number, inner in _fields(function) if number == 3]
    return nodes


def _node(content: memoryview) -> tuple[str, str]:
    found = {number: value for number, value in _fields(content) if number in (1, 2)}
    return str(found[1], "utf-8") if 1 in found else "", str(found[2], "utf-8") if 2 in found else ""


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
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
