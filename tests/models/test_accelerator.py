"""The accelerator, on a machine that need not have one: a made-up file system and torch stand for it."""

import importlib.machinery
import sys
import types

import pytest

from mirflow.core.errors import MirflowError
from mirflow.models import accelerator

VERSIONS = {"rocm": ("None", "'7.1.2'"), "cuda": ("'13.0'", "None"), "cpu": ("None", "None")}


def machine(root, gpu_ids=("0", "51545")):
    (root / "dev").mkdir(parents=True)
    (root / "dev/kfd").touch()
    for number, gpu_id in enumerate(gpu_ids):
        node = root / f"sys/class/kfd/kfd/topology/nodes/{number}"
        node.mkdir(parents=True)
        (node / "gpu_id").write_text(f"{gpu_id}\n")
    return root


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that makes another build of torch the installed one."""

    def put(kind):
        cuda, hip = VERSIONS[kind]
        package = tmp_path / f"torch-{kind}"
        package.mkdir()
        (package / "version.py").write_text(
            f"__version__ = '2.13.0'\ncuda: Optional[str] = {cuda}\nhip: Optional[str] = {hip}\n"
        )
        spec = importlib.machinery.ModuleSpec("torch", None, is_package=True)
        spec.submodule_search_locations = [str(package)]
        monkeypatch.setattr(accelerator.importlib.util, "find_spec", lambda name: spec)
        monkeypatch.delitem(sys.modules, "torch", raising=False)

    return put


def test_an_amd_card_gets_its_environment_and_what_the_shell_says_stays(tmp_path, install):
    install("rocm")
    environment = {"HIP_FORCE_DEV_KERNARG": "0"}
    accelerator.prepare(environment, machine(tmp_path))
    assert environment == {
        **accelerator.ROCM,
        "HIP_FORCE_DEV_KERNARG": "0",
        "PYTORCH_ALLOC_CONF": accelerator.ALLOCATOR,
    }
    before = dict(environment)
    accelerator.prepare(environment, tmp_path)
    assert environment == before


@pytest.mark.parametrize("name", accelerator.ALLOCATOR_NAMES)
def test_the_users_memory_settings_stay_under_any_of_their_names(tmp_path, install, name):
    install("rocm")
    environment = {name: "expandable_segments:True"}
    accelerator.prepare(environment, machine(tmp_path))
    assert {key: environment[key] for key in accelerator.ALLOCATOR_NAMES if key in environment} == {
        name: "expandable_segments:True"
    }


@pytest.mark.parametrize(
    ("kind", "gpu_ids"), [("cuda", ("0", "51545")), ("cpu", ("0", "51545")), ("rocm", ("0",)), ("rocm", None)]
)
def test_other_machines_and_other_builds_are_left_alone(tmp_path, install, kind, gpu_ids):
    install(kind)
    root = tmp_path if gpu_ids is None else machine(tmp_path, gpu_ids)
    environment = {}
    accelerator.prepare(environment, root)
    assert environment == {}


def test_a_container_without_the_list_of_cards_counts_as_having_one(tmp_path, install):
    install("rocm")
    environment = {}
    accelerator.prepare(environment, machine(tmp_path, ()))
    assert environment


@pytest.mark.parametrize(
    ("cuda", "mps", "found"), [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu"), (True, True, "cuda")]
)
def test_auto_is_the_best_there_is_and_cpu_is_the_cpu(monkeypatch, cuda, mps, found):
    freed = []
    torch = types.SimpleNamespace(
        cuda=types.SimpleNamespace(is_available=lambda: cuda, empty_cache=lambda: freed.append("cuda")),
        backends=types.SimpleNamespace(mps=types.SimpleNamespace(is_available=lambda: mps)),
        mps=types.SimpleNamespace(empty_cache=lambda: freed.append("mps")),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert accelerator.device("auto") == found
    assert accelerator.device("cpu") == "cpu"
    accelerator.release()
    assert freed == [found] * (found != "cpu")


def test_no_other_device_is_known():
    with pytest.raises(MirflowError, match=r"'gpu' is none of auto, cpu"):
        accelerator.device("gpu")


@pytest.mark.parametrize(
    ("choice", "card", "count"), [("auto", "nvidia0", 1), ("auto", "null", 4), ("cpu", "nvidia0", 4)]
)
def test_a_model_on_the_cpu_gets_threads_and_one_on_a_card_gets_one(tmp_path, monkeypatch, choice, card, count):
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / card).touch()
    assert accelerator.expected_threads(choice, tmp_path) == count


def test_afterwards_all_is_as_before_and_short_memory_is_an_error_of_ours(monkeypatch):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads(), torch.backends.cudnn.deterministic
    monkeypatch.setattr(accelerator, "CPU_THREADS", before[0] + 1)
    with pytest.raises(MirflowError, match="too little memory"), accelerator.reproducible("cpu"):
        assert torch.get_num_threads() == before[0] + 1 and torch.backends.cudnn.deterministic
        assert not torch.ones(1, requires_grad=True).add(1).requires_grad
        raise torch.OutOfMemoryError
    assert before == (torch.get_num_threads(), torch.backends.cudnn.deterministic)
