"""The accelerator: which device models run on, and the environment variables that AMD cards need.

Call `prepare` before the first ``import torch`` of a process: torch and the libraries below it read these variables
when they are loaded.
"""

import importlib.util
import os
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from mirflow.core.errors import MirflowError

CHOICES = ("auto", "cpu")  # of the settings called `device`
CPU_THREADS = 4  # of a model on the CPU; the same on all machines, since the number decides how sums are rounded

ROCM = {
    # Attention kernels whose memory grows with the length of the sequence and not with its square. On consumer cards
    # torch uses them only when this is set.
    "TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL": "1",
    # The package flash-attn has kernels for AMD only in Triton.
    "FLASH_ATTENTION_TRITON_AMD_ENABLE": "TRUE",
    # Keeps the arguments of kernels in the card's memory: each kernel starts some microseconds earlier.
    "HIP_FORCE_DEV_KERNARG": "1",
    # TunableOp, where a user turns it on, only applies what was tuned before. Tuning during a run would repeat the
    # search in each process, and a choice of kernels by their speed makes equal runs differ.
    "PYTORCH_TUNABLEOP_TUNING": "0",
}
# Segments of different sizes fragment the card's memory: large blocks are not split, and unused ones are freed early.
ALLOCATOR = "garbage_collection_threshold:0.8,max_split_size_mb:512"
ALLOCATOR_NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")  # torch reads them all


def prepare(environment: MutableMapping[str, str] | None = None, root: Path = Path("/")) -> None:
    """Set the environment variables that AMD cards need, where there is such a card and a torch that can use it.

    Variables that are set already, in the shell or a profile, take precedence. A second call changes nothing.

    Parameters
    ----------
    environment : the variables to change; default: those of this process
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
    """Return whether AMD's compute driver is there and lists a GPU (it lists CPUs too, with the id 0)."""
    if not (root / "dev/kfd").exists():
        return False
    ids = list((root / "sys/class/kfd/kfd/topology/nodes").glob("*/gpu_id"))
    return not ids or any(_read(path).strip() not in ("", "0") for path in ids)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # a card that this user may not use
        return ""


def torch_is_for(kind: str) -> bool:
    """Return whether the installed torch was built for "cuda", "rocm" or "cpu", without importing it.

    False for all three where no torch is installed, or its version file does not tell.
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

    Call it before the first ``import torch`` of a process, like `prepare`.

    Parameters
    ----------
    choice : "auto" uses the accelerator where there is one; "cpu" never does

    Raises
    ------
    MirflowError : for any other choice
    """
    if choice not in CHOICES:
        raise MirflowError(f"device: {choice!r} is none of {', '.join(CHOICES)}")
    # Threads of torch that wait for each other would otherwise keep cores busy that other jobs need.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if choice == "cpu":
        return "cpu"
    prepare()
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def is_likely(root: Path = Path("/")) -> bool:
    """Return whether this machine seems to have an accelerator, without importing torch."""
    return sys.platform == "darwin" or any((root / "dev").glob("nvidia[0-9]*")) or has_amd_card(root)


def threads(device: str) -> int:
    """Return how many CPU threads a model uses: one to feed the accelerator, or `CPU_THREADS` to compute."""
    return CPU_THREADS if device == "cpu" else 1


def expected_threads(choice: str, root: Path = Path("/")) -> int:
    """Return `threads` for a setting `device`, for planning: an estimate, since torch is not imported."""
    return threads("auto" if choice != "cpu" and is_likely(root) else "cpu")


@contextmanager
def reproducible(device: str) -> Iterator[None]:
    """Compute without gradients, with a fixed number of threads and deterministic kernels; restore all at the end.

    Equal inputs then give equal bytes.

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
    """Free the device's memory that no tensor uses any more, for the next model or another process."""
    import gc

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
