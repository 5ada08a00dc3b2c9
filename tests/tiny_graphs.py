"""Frozen TensorFlow graphs of the shapes that Essentia's models have, written without TensorFlow.

The wire format of a GraphDef is a few nested messages (tensorflow/core/framework: graph, function, op_def, node_def,
attr_value, tensor).
"""

from pathlib import Path

import numpy as np

FLOAT, INT32 = 1, 3  # DataType
NODE, NAME, OPERATION, INPUT, ATTRIBUTE = 1, 1, 2, 3, 5  # GraphDef.node, and the fields of a NodeDef
# What TensorFlow calls an operation's output: inside a function, inputs are named node:output:number.
OUTPUTS = {"Const": "output", "Mean": "output", "Reshape": "output", "MatMul": "product", "BiasAdd": "output",
           "Sigmoid": "y", "Softmax": "softmax"}  # fmt: skip

BATCH, PATCH, BANDS = 64, 128, 96  # of discogs-effnet-bs64
EMBEDDING = 1280
STYLES = 400

Node = tuple[str, str, tuple[str, ...], dict[str, bytes]]  # name, operation, inputs, attributes (encoded AttrValues)


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


def _map(number: int, **values: bytes | str) -> bytes:
    return b"".join(_field(number, _field(1, key) + _field(2, value)) for key, value in values.items())


def node(name: str, operation: str, *inputs: str, **attributes: bytes) -> bytes:
    """Return one node of a graph."""
    return _field(NODE, _encoded((name, operation, inputs, attributes)))


def _encoded(described: Node) -> bytes:
    name, operation, inputs, attributes = described
    content = _field(NAME, name) + _field(OPERATION, operation) + b"".join(_field(INPUT, each) for each in inputs)
    return content + _map(ATTRIBUTE, **attributes)


def kind(number: int) -> bytes:
    """Return the AttrValue of a data type."""
    return _field(6, number)


def _placeholder(name: str, *shape: int) -> Node:
    return name, "Placeholder", (), {"dtype": kind(FLOAT), "shape": _field(7, _shape(*shape))}


def _constant(name: str, values: np.ndarray) -> Node:
    values = np.asarray(values)
    number = INT32 if values.dtype.kind == "i" else FLOAT
    values = values.astype(np.int32 if number == INT32 else np.float32)
    tensor = _field(1, number) + _field(2, _shape(*values.shape)) + _field(4, values.tobytes())
    return name, "Const", (), {"dtype": kind(number), "value": _field(8, tensor)}


def _activation(name: str, operation: str, source: str) -> Node:
    return name, operation, (source,), {"T": kind(FLOAT)}


def _dense(source: str, weights: np.ndarray, bias: np.ndarray, name: str) -> list[Node]:
    plain = {"T": kind(FLOAT)}
    flags = {"transpose_a": _field(5, 0), "transpose_b": _field(5, 0)}
    return [
        _constant(f"{name}/weights", weights),
        _constant(f"{name}/bias", bias),
        (f"{name}/product", "MatMul", (source, f"{name}/weights"), plain | flags),
        (name, "BiasAdd", (f"{name}/product", f"{name}/bias"), plain),
    ]


def _mean_of_frames(source: str) -> list[Node]:
    attributes = {"T": kind(FLOAT), "Tidx": kind(INT32), "keep_dims": _field(5, 0)}
    return [_constant("axis", np.array([1])), ("mean", "Mean", (source, "axis"), attributes)]


def _write(path: Path, nodes: list[Node]) -> Path:
    path.write_bytes(b"".join(_field(NODE, _encoded(each)) for each in nodes))
    return path


def network(
    path: Path, weights: np.ndarray, bias: np.ndarray, patch: int = 187, embedding: str = "model/dense/BiasAdd"
):
    """Write a MusiCNN: the mean of a patch's mel bands times `weights` [band, dimension] plus `bias` is its embedding.

    Nodes: model/Placeholder [patch, frame, band], that of the embedding, model/Sigmoid. With patches of 96 frames of
    64 bands it is a VGGish.
    """
    return _write(
        path,
        [
            _placeholder("model/Placeholder", -1, patch, len(weights)),
            *_mean_of_frames("model/Placeholder"),
            *_dense("mean", weights, bias, embedding),
            _activation("model/Sigmoid", "Sigmoid", embedding),
        ],
    )


def head(path: Path, weights: np.ndarray, bias: np.ndarray, activation: str = "Softmax") -> Path:
    """Write a classifier [patch, dimension] → [patch, class]; nodes model/Placeholder, model/<activation>."""
    return _write(
        path,
        [
            _placeholder("model/Placeholder", -1, len(weights)),
            *_dense("model/Placeholder", weights, bias, "logits"),
            _activation(f"model/{activation}", activation, "logits"),
        ],
    )


def effnet(path: Path, weights: np.ndarray, styles: np.ndarray) -> Path:
    """Write a discogs-effnet as it was saved: a function, and only for batches of 64.

    Nodes: serving_default_melspectrogram [64, 128, 96]; PartitionedCall:0 the activations of 400 styles [64, 400],
    PartitionedCall:1 the embeddings [64, 1280].

    Parameters
    ----------
    weights : [96, 1280], of the mean of a patch's mel bands
    styles : [1280, 400]
    """
    reshape = {"T": kind(FLOAT), "Tshape": kind(INT32)}
    nodes = [
        *_mean_of_frames("melspectrogram"),
        _constant("size", np.array([BATCH, BANDS])),  # fails for any other batch
        ("batch", "Reshape", ("mean", "size"), reshape),
        *_dense("batch", weights, np.zeros(EMBEDDING), "embeddings"),
        *_dense("embeddings", styles, np.zeros(STYLES), "logits"),
        _activation("activations", "Sigmoid", "logits"),
    ]
    return _write_function(path, "melspectrogram", (BATCH, PATCH, BANDS), nodes, "activations", "embeddings")


def style_head(path: Path, styles: np.ndarray) -> Path:
    """Write a genre_discogs400 as it was saved: serving_default_model_Placeholder [patch, 1280], PartitionedCall:0."""
    nodes = [
        *_dense("model_Placeholder", styles, np.zeros(styles.shape[1]), "logits"),
        _activation("activations", "Sigmoid", "logits"),
    ]
    return _write_function(path, "model_Placeholder", (-1, len(styles)), nodes, "activations")


def _write_function(path: Path, argument: str, shape: tuple[int, ...], nodes: list[Node], *outputs: str) -> Path:
    """Write a graph whose input serving_default_<argument> goes through one function, called by PartitionedCall."""
    operations = {name: operation for name, operation, _, _ in nodes}

    def inside(name: str) -> str:
        return f"{name}:{OUTPUTS[operations[name]]}:0" if name in operations else name

    def argument_of(name: str) -> bytes:
        return _field(1, name) + _field(3, FLOAT)

    signature = _field(1, "inner") + _field(2, argument_of(argument))
    signature += b"".join(_field(3, argument_of(output)) for output in outputs)
    body = [(name, operation, tuple(map(inside, inputs)), more) for name, operation, inputs, more in nodes]
    function = (
        _field(1, signature)
        + b"".join(_field(3, _encoded(each)) for each in body)
        + _map(4, **{output: inside(output) for output in outputs})
    )
    source = f"serving_default_{argument}"
    types = [_field(1, b"".join(_field(6, FLOAT) for _ in range(count))) for count in (1, len(outputs))]
    attributes = {"Tin": types[0], "Tout": types[1], "f": _field(10, _field(1, "inner"))}
    path.write_bytes(
        _field(NODE, _encoded(_placeholder(source, *shape)))
        + node("PartitionedCall", "PartitionedCall", source, **attributes)
        + _field(2, _field(1, function))
    )
    return path
