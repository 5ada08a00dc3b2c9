"""What a file of each kind must look like: whether it is whole, and not something else that a server gave for it.

This is no proof that it is the right file, which only its hash is. It recognises what servers, proxies and portals give
in place of a file: nothing, a part of it, a web page, a pointer. No check executes anything that stands in the file.
"""

import json
import mmap
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mirflow.models import graphs

LARGEST_TEXT = 1 << 28  # bytes of a .json, .yaml or .txt file, and of the header of a .safetensors file
MESSAGE_KEYS = {"error", "errors", "message", "status", "statusCode", "code", "detail", "success", "documentation_url"}
BEGINNINGS = {  # of files that are of no kind which a model consists of
    b"version https://git-lfs.github.com/spec": "a Git LFS pointer instead of the file that it stands for",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML document",
    b"<error": "an XML document",
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
}

# GGUF, from its specification: the sizes of numbers by their type, and of a block of weights by its type.
GGUF_NUMBERS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes
GGUF_TEXT, GGUF_LIST = 8, 9
GGUF_BLOCKS = {  # type → weights in a block, bytes of a block
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36),
    41: (128, 18),
}  # fmt: skip
SAFETENSORS_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


def problem(path: Path, name: str = "") -> str:
    """Return what is wrong with a file of a model, "" where it looks like one of its kind.

    Parameters
    ----------
    name : of the file, whose ending says what kind it must be; default: that of the path
    """
    ending = next((ending for ending in KINDS if (name or path.name).endswith(ending)), None)
    kind, check = KINDS[ending] if ending else ("the file of a model", None)
    with open(path, "rb") as stream:
        beginning = stream.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    found = "" if path.stat().st_size else "empty"
    found = found or next((what for sign, what in BEGINNINGS.items() if beginning.startswith(sign)), "")
    if check and not found:
        try:
            found = check(path) or ""
        except (ValueError, IndexError, KeyError, TypeError, struct.error, RecursionError) as error:
            # Errors of this module say what is wrong; those of others only where.
            reason = f" ({' '.join(str(error).split())[:200]})" if type(error) is ValueError else ""
            found = f"damaged, cut off or something else{reason}"
    return f"{kind} is expected, but it is {found}" if found else ""


def tells_its_end(name: str) -> bool:
    """Whether a file of this kind shows by itself that it is whole. Text that is cut off may still be such a text."""
    return not name.endswith((".yaml", ".txt"))


def _graph(path: Path) -> None:
    """Check a TensorFlow graph: every message in it is as long as it says, and every node has a name and a kind."""
    nodes = graphs.read(path)
    if not nodes or not all(name and kind for name, kind in nodes):
        raise ValueError("no frozen TensorFlow graph")


def _onnx(path: Path) -> None:
    if 7 not in dict(graphs.fields(memoryview(path.read_bytes()))):  # ModelProto.graph
        raise ValueError("no graph in it")


def _text(path: Path) -> str:
    if path.stat().st_size > LARGEST_TEXT:
        raise ValueError("too large for a text")
    text = path.read_text(encoding="utf-8")
    if "\0" in text:
        raise ValueError("zeros in a text")
    return text


def _plain(path: Path) -> None:
    _text(path)


def _json(path: Path) -> str:
    """Check JSON: an object or a list, and no message of a server."""
    content = json.loads(_text(path))
    if not isinstance(content, dict | list):
        raise ValueError("neither an object nor a list")
    return _message(set(content), json.dumps(content)) if isinstance(content, dict) else ""


def _message(keys: set[str], text: str) -> str:
    """Return what is wrong where nothing but a server's message stands under these keys."""
    return f"a message of the server ({text.strip()[:200]})" if keys and keys <= MESSAGE_KEYS else ""


def _tokenizer(path: Path) -> str:
    """Check the tokenizer.json of Hugging Face's tokenizers: it has a model with a vocabulary."""
    if said := _json(path):
        return said
    model = json.loads(_text(path)).get("model")
    if not isinstance(model, dict) or not model.get("vocab"):
        raise ValueError("no vocabulary in it")
    return ""


def _yaml(path: Path) -> str:
    """Check the syntax of YAML: a mapping. Nothing is constructed of it: files in use hold tags of Python."""
    import yaml

    try:
        root = yaml.compose(_text(path), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise ValueError("names with values are expected")
    keys = {key.value for key, _ in root.value if isinstance(key, yaml.ScalarNode)}
    return _message(keys, _text(path))


def _safetensors(path: Path) -> None:
    """Check a safetensors file: its header describes every byte after it, and none beyond the end."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if not 2 <= length <= min(size - 8, LARGEST_TEXT):
            raise ValueError("its header is longer than the file")
        header: dict[str, Any] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    end = 0
    for about in sorted(header.values(), key=lambda tensor: tensor["data_offsets"]):
        (begins, ends), count = about["data_offsets"], 1
        for extent in about["shape"]:
            count *= extent
        bits = SAFETENSORS_BITS.get(about["dtype"])
        if begins != end or ends < begins or (bits and (ends - begins) * 8 != count * bits):
            raise ValueError("its tensors do not lie one after the other")
        end = ends
    if not header or 8 + length + end != size:
        raise ValueError(f"{8 + length + end} bytes are described, it has {size}")


def _gguf(path: Path) -> None:
    """Check a GGUF file (version 2 or 3): all that its header describes lies within the file."""
    with open(path, "rb") as stream:
        if stream.read(4) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _Gguf(content).check()


class _Gguf:
    """Reads the header of a GGUF file."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self.place = content, 4
        self.alignment = 32

    def check(self) -> None:
        """Read keys and tensors; compare the place of each tensor with the size of the file.

        Raises
        ------
        ValueError, IndexError, struct.error : the file is damaged or cut off
        """
        size = len(self.content)
        (version,) = self.take("<I")
        if version not in (2, 3):
            raise ValueError(f"version {version} of GGUF, 2 or 3 is expected")
        tensors, keys = self.take("<QQ")
        if not tensors or max(tensors, keys) > size:
            raise ValueError("it describes no tensors, or more than it can hold")
        for _ in range(keys):
            name = self.text()
            (kind,) = self.take("<I")
            if name == b"general.alignment" and kind == 4:
                (self.alignment,) = struct.unpack_from("<I", self.content, self.place)
            self.skip_value(kind)
        ends = []
        for _ in range(tensors):
            self.text()
            (dimensions,) = self.take("<I")
            if dimensions > 8:
                raise ValueError(f"a tensor of {dimensions} dimensions")
            weights = 1
            for extent in self.take(f"<{dimensions}Q"):
                weights *= extent
            kind, offset = self.take("<IQ")
            block, taken = GGUF_BLOCKS.get(kind, (1, 0))  # of newer kinds only the place counts
            ends.append(offset + -(-weights // block) * taken)
        if not self.alignment:
            raise ValueError("an alignment of 0")
        end = -(-self.place // self.alignment) * self.alignment + max(ends)
        if end > size:
            raise ValueError(f"{end} bytes are described, it has {size}")

    def take(self, kinds: str) -> tuple:
        """Return the next numbers."""
        found = struct.unpack_from(kinds, self.content, self.place)
        self.place += struct.calcsize(kinds)
        return found

    def text(self) -> bytes:
        """Return the next text."""
        (length,) = self.take("<Q")
        begin, self.place = self.place, self.place + length
        if self.place > len(self.content):
            raise ValueError("a text is longer than the file")
        return self.content[begin : self.place]

    def skip_value(self, kind: int) -> None:
        """Skip the next value."""
        if kind == GGUF_TEXT:
            self.text()
        elif kind == GGUF_LIST:
            inner, count = self.take("<IQ")
            if count > len(self.content):
                raise ValueError("a list is longer than the file")
            if inner in GGUF_NUMBERS:
                self.place += GGUF_NUMBERS[inner] * count
            else:
                for _ in range(count):
                    self.skip_value(inner)
        else:
            self.place += GGUF_NUMBERS[kind]


def _torch(path: Path) -> None:
    """Check a checkpoint of torch.save: a whole zip file with a pickled object. It is not unpickled."""
    try:
        with zipfile.ZipFile(path) as file:
            if not any(name.endswith("data.pkl") for name in file.namelist()):
                raise ValueError("no checkpoint in it")
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


# Ending → what a file of that name must be, and how to check it. The first ending that fits decides.
KINDS: dict[str, tuple[str, Callable[[Path], str | None]]] = {
    "tokenizer.json": ("a tokenizer", _tokenizer),
    ".json": ("JSON", _json),
    ".yaml": ("YAML", _yaml),
    ".txt": ("a text", _plain),
    ".pb": ("a frozen TensorFlow graph", _graph),
    ".onnx": ("an ONNX model", _onnx),
    ".safetensors": ("a file of safetensors", _safetensors),
    ".gguf": ("a GGUF file", _gguf),
    ".ckpt": ("a checkpoint of torch", _torch),
    ".bin": ("a checkpoint of torch", _torch),
    ".pt": ("a checkpoint of torch", _torch),
    ".pth": ("a checkpoint of torch", _torch),
}
