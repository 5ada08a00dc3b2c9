"""The smallest model files of every kind."""

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np

import tiny_graphs


def gguf(path: Path) -> Path:
    """Write a GGUF file of version 3: two keys, one of them a list of texts, and two tensors."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    header = b"GGUF" + struct.pack("<IQQ", 3, 2, 3)
    header += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    header += text("tokenizer.tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    header += text("general.alignment") + struct.pack("<II", 4, 32)
    tensors = {"one": ((64, 3), 0), "two": ((256, 2), 14)}  # sizes, type: F32, Q6_K
    offset = 0
    sizes = (64 * 3 * 4, 2 * 210)
    for (name, (shape, kind)), size in zip(tensors.items(), sizes, strict=True):
        header += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        offset += -(-size // 32) * 32
    header += bytes(-len(header) % 32)
    path.write_bytes(header + np.random.default_rng(0).bytes(offset))
    return path


def safetensors(path: Path) -> Path:
    """Write a safetensors file of two tensors."""
    header = {
        "__metadata__": {"format": "pt"},
        "one": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "two": {"dtype": "F16", "shape": [4], "data_offsets": [24, 32]},
    }
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes(range(32)))
    return path


def tokenizer(path: Path) -> Path:
    """Write what the file tokenizer.json of a repository holds."""
    content = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"},
    }
    path.write_text(json.dumps(content, indent=2))
    return path


def torch(path: Path) -> Path:
    """Write a checkpoint as torch.save does: a zip file with the pickled object and the numbers."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in (("data.pkl", b"\x80\x02}q\x00."), ("data/0", bytes(400)), ("version", b"3\n")):
            file.writestr(zipfile.ZipInfo(f"archive/{name}"), content)  # whose time does not go on
    path.write_bytes(stream.getvalue())
    return path


def onnx(path: Path) -> Path:
    """Write an ONNX model without a node: version, graph, and the set of operations."""
    graph = b"\x12\x01g"  # GraphProto.name
    path.write_bytes(b"\x08\x08" + b"\x3a" + bytes([len(graph)]) + graph + b"\x42\x02\x10\x11")
    return path


def text(path: Path, content: str) -> Path:
    """Write a text."""
    path.write_text(content)
    return path


KINDS = {
    "net.gguf": gguf,
    "net.safetensors": safetensors,
    "net.pb": lambda path: tiny_graphs.head(path, np.ones((4, 3)), np.zeros(3)),
    "net.json": lambda path: text(path, json.dumps({"classes": ["one", "two"], "version": 1}, indent=1)),
    "net.tokenizer.json": tokenizer,
    "net.yaml": lambda path: text(path, "audio:\n  chunk_size: 22050\nmodel:\n  freqs: !!python/tuple\n  - 2\n  - 4\n"),
    "net.onnx": onnx,
    "net.ckpt": torch,
}


def body(name: str, folder: Path) -> bytes:
    """Return the content of a file of `KINDS`."""
    return KINDS[name](folder / f"made-{name}").read_bytes()
