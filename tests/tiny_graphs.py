"""Frozen TensorFlow graphs of the shapes that Essentia's models have, written without TensorFlow.

The wire format of a GraphDef is a few nested messages (tensorflow/core/framework: graph, node_def, attr_value, tensor).
"""

from pathlib import Path

import numpy as np

FLOAT, INT32 = 1, 3  # DataType
NODE, NAME, OPERATION, INPUT, ATTRIBUTE = 1, 1, 2, 3, 5  # GraphDef.node, and the fields of a NodeDef


def _number(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, content: bytes | str | int) -> bytes:
    if isinstance(content, int):
        return _number(number << 3) + _number(content)
    content = content.encode() if isinstance(content, str) else content
    return _number(number << 3 | 2) + _number(len(content)) + content


def _shape(*sizes: int) -> bytes:
    return b"".join(_field(2, _field(1, size)) for size in sizes)


def node(name: str, operation: str, *inputs: str, **attributes: bytes) -> bytes:
    """Return one node; `attributes` are encoded AttrValues."""
    content = _field(NAME, name) + _field(OPERATION, operation) + b"".join(_field(INPUT, each) for each in inputs)
    for key, value in attributes.items():
        content += _field(ATTRIBUTE, _field(1, key) + _field(2, value))
    return _field(NODE, content)


def kind(number: int) -> bytes:
    """Return the AttrValue of a data type."""
    return _field(6, number)


def placeholder(name: str, *shape: int) -> bytes:
    """Return an input; -1 is any size."""
    return node(name, "Placeholder", dtype=kind(FLOAT), shape=_field(7, _shape(*shape)))


def constant(name: str, values: np.ndarray) -> bytes:
    """Return a constant, float32 or int32."""
    values = np.asarray(values)
    number = INT32 if values.dtype.kind == "i" else FLOAT
    values = values.astype(np.int32 if number == INT32 else np.float32)
    tensor = _field(1, number) + _field(2, _shape(*values.shape)) + _field(4, values.tobytes())
    return node(name, "Const", dtype=kind(number), value=_field(8, tensor))


def network(path: Path, weights: np.ndarray, bias: np.ndarray, patch: int = 187) -> Path:
    """Write a MusiCNN: the mean of a patch's mel bands times `weights` [96, dimension] plus `bias` is its embedding.

    Nodes: model/Placeholder [patch, frame, band], model/dense/BiasAdd, model/Sigmoid.
    """
    path.write_bytes(
        placeholder("model/Placeholder", -1, patch, 96)
        + constant("axis", np.array([1]))
        + node("mean", "Mean", "model/Placeholder", "axis", T=kind(FLOAT), Tidx=kind(INT32), keep_dims=_field(5, 0))
        + _dense("mean", weights, bias, "model/dense/BiasAdd")
        + node("model/Sigmoid", "Sigmoid", "model/dense/BiasAdd", T=kind(FLOAT))
    )
    return path


def head(path: Path, weights: np.ndarray, bias: np.ndarray, activation: str = "Softmax") -> Path:
    """Write a classifier [patch, dimension] → [patch, class]; nodes model/Placeholder, model/<activation>."""
    path.write_bytes(
        placeholder("model/Placeholder", -1, len(weights))
        + _dense("model/Placeholder", weights, bias, "logits")
        + node(f"model/{activation}", activation, "logits", T=kind(FLOAT))
    )
    return path


def _dense(source: str, weights: np.ndarray, bias: np.ndarray, name: str) -> bytes:
    flag = _field(5, 0)
    return (
        constant(f"{name}/weights", weights)
        + constant(f"{name}/bias", bias)
        + node(
            f"{name}/product", "MatMul", source, f"{name}/weights", T=kind(FLOAT), transpose_a=flag, transpose_b=flag
        )
        + node(name, "BiasAdd", f"{name}/product", f"{name}/bias", T=kind(FLOAT))
    )
