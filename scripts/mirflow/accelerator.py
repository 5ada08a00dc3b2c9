"""The accelerator: which device models run on, and what AMD cards want in the environment.

`prepare` belongs before the first ``import torch`` of a process, since torch and the libraries below it read these
variables when they are loaded.
"""

import importlib.util
import os
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from mirflow.errors import MirflowError

CHOICES = ("auto", "cpu")  # of the settings called `device`
CPU_THREADS = 4  # of a model that runs on the CPU; one number for all machines, since it decides how sums are rounded

ROCM = {
    # Kernels of attention whose memory grows with the length, not with its square; on consumer cards torch leaves them
    # out unless told.
    "TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL": "1",
    # The package flash-attn has kernels for AMD in Triton only, and is not to look for others.
    "FLASH_ATTENTION_TRITON_AMD_ENABLE": "TRUE",
    # Arguments of kernels in the card's memory: each of the many small kernels starts some microseconds earlier.
    "HIP_FORCE_DEV_KERNARG": "1",
    # Whoever turns TunableOp on takes matrix products that were tuned before. Tuning here would repeat the search in
    # each process, and choosing kernels by the clock makes equal runs differ.
    "PYTORCH_TUNABLEOP_TUNING": "0",
}
# Segments of several sizes after one another leave gaps; large blocks are kept whole, and unused ones given back early.
ALLOCATOR = "garbage_collection_threshold:0.8,max_split_size_mb:512"
ALLOCATOR_NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")  # old names still count


def prepare(environment: MutableMapping[str, str] | None = None, root: Path = Path("/")) -> None:
    """Set what AMD cards want, on a machine that has one and a torch that can use it; otherwise do nothing.

    What is set already, in the shell or a profile, stays. Calling it again changes nothing.

    Parameters
    ----------
    environment : what to change, default that of this process
    root : of the file system
    """
    environment = os.environ if environment is None else environment
    if "torch" in sys.modules or not has_amd_card(root) or torch_is_for("cuda") or torch_is_for("cpu"):
        return
    for name, value in ROCM.items():
        environment.setdefault(name, value)
    if not any(name in environment for name in ALLOCATOR_NAMES):
        environment["PYTORCH_ALLOC_CONF"] = ALLOCATOR


def has_amd_card(root: Path = Path("/")) -> bool:
    """Return whether AMD's driver for computing is there and knows a GPU (it lists CPUs too, with the id 0)."""
    if not (root / "dev/kfd").exists():
        return False
    ids = list((root / "sys/class/kfd/kfd/topology/nodes").glob("*/gpu_id"))
    return not ids or any(_read(path).strip() not in ("", "0") for path in ids)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # of a card that belongs to somebody else
        return ""


def torch_is_for(kind: str) -> bool:
    """Return whether the installed torch was built for "cuda", "rocm" or "cpu", without importing it.

    False for all three where no torch is installed, or it does not say.
    """
    found = importlib.util.find_spec("torch")
    if found is None or not found.submodule_search_locations:
        return False
    version = _read(Path(found.submodule_search_locations[0], "version.py"))
    built = dict(re.findall(r"^(cuda|hip)\b[^=\n]*= *(\S+)", version, re.M))
    if not built:
        return False
    return kind == next((name for name, key in (("rocm", "hip"), ("cuda", "cuda")) if built.get(key) != "None"), "cpu")


def device(choice: str) -> str:
    """Return torch's name of the device to run on: "cuda" (NVIDIA, and AMD with ROCm), "mps" (Apple) or "cpu".

    Like `prepare`, this belongs before the first ``import torch``.

    Parameters
    ----------
    choice : "auto" takes the accelerator where there is one; "cpu" never does

    Raises
    ------
    MirflowError : for another choice
    """
    if choice not in CHOICES:
        raise MirflowError(f"device: {choice!r} is none of {', '.join(CHOICES)}")
    # Threads of torch that wait for each other would otherwise spin, on cores that other jobs are using.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if choice == "cpu":
        return "cpu"
    prepare()
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def is_likely(root: Path = Path("/")) -> bool:
    """Return whether this machine seems to have an accelerator, without asking torch."""
    return sys.platform == "darwin" or any((root / "dev").glob("nvidia[0-9]*")) or has_amd_card(root)


def threads(device: str) -> int:
    """Return how many threads of the CPU a model takes: one that feeds the accelerator, or some that compute."""
    return CPU_THREADS if device == "cpu" else 1


def expected_threads(choice: str, root: Path = Path("/")) -> int:
    """Return the same before anything runs, for a setting `device`; only for planning, it may be mistaken."""
    return threads("auto" if choice != "cpu" and is_likely(root) else "cpu")


@contextmanager
def settled(device: str) -> Iterator[None]:
    """Compute on a device without gradients, and with kernels that give the same every time; then all is as before.

    Raises
    ------
    MirflowError : the GPU has too little memory
    """
    import torch

    before = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(threads(device))
    torch.backends.cudnn.deterministic = True
    try:
        with torch.inference_mode():
            yield
    except torch.OutOfMemoryError as error:
        release()
        raise MirflowError("the GPU has too little memory") from error
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cudnn.deterministic = before[1]


def release() -> None:
    """Give the device's memory that no tensor uses any more back, for the next model or another process."""
    import gc

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
