"""The model server, with a stand-in for the model: what it keeps, what it shares, what it loses."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from conftest import REPOSITORY
from mirflow.core import artifacts
from mirflow.describe import backends, generation
from mirflow.warm import model_server, session  # noqa: F401 - `python` uses all names of this module

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are for Linux")

WARM = REPOSITORY / "scripts" / "warm.py"
PROMPTS = {"full": "all of it", "mood": "its mood", "crash": "crash", "loop": "loop", "sleep": "sleep"}


class StandIn:
    """Writes down what it is asked to do; its answers depend on the sound and the question."""

    name, version, max_seconds = "stand-in", "1", 60.0

    def __init__(self, model: backends.Model) -> None:
        self.diary = Path(model.files[0])
        self.encodings = 0
        self.sound = ""
        self.note("load")

    def note(self, what: str) -> None:
        with self.diary.open("a") as file:
            file.write(what + "\n")

    def encode(self, samples, answer_tokens) -> None:
        self.note("encode")
        self.encodings += 1
        self.sound = hashlib.sha256(samples.tobytes()).hexdigest()

    def answer(self, question, decoding) -> generation.Raw:
        self.note(f"answer {question} {decoding.temperature}")
        if question == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if question == "sleep":
            time.sleep(60)
        digits = hashlib.sha256(f"{self.sound}{question}".encode()).hexdigest()
        words = (
            "same " * 99
            if question == "loop"
            else " ".join("bass drum voice piano".split()[int(d, 16) % 4] + d for d in digits)
        )
        return generation.Raw(words, 64, True)

    def close(self) -> None:
        self.note("close")


def python(code: str, *arguments: str, environment: dict, **options) -> subprocess.Popen:
    """Start a Python that knows the stand-in."""
    here = Path(__file__).parent
    path = os.pathsep.join(map(str, (REPOSITORY / "scripts", here, here.parent)))
    code = f"import sys; from test_describe_worker import *; backends.BACKENDS['stand-in'] = StandIn; {code}"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env={**environment, "PYTHONPATH": path}, **options
    )


class House:
    """A folder with two tracks and a model worker that lives as long as a given process."""

    def __init__(self, folder: Path, runtime: str, alive: int) -> None:
        self.folder, self.diary = folder, folder / "diary"
        self.run = f"{alive}:{session.start_time(alive)}"
        self.environment = {**os.environ, "MIRFLOW_RUN": self.run, "XDG_RUNTIME_DIR": runtime, "MIRFLOW_WARM": "1"}
        import soundfile

        noise = np.random.default_rng(0).standard_normal((8000, 2)) * 0.1
        for name in "ab":
            (folder / name / "texts").mkdir(parents=True)
            soundfile.write(folder / name / "full_mix.flac", noise if name == "a" else -noise / 2, 8000)
        self.prompts = folder / "prompts.yaml"
        self.ask_for("full", "mood")
        artifacts.write_json(folder / "model.json", {"name": "m", "files": {"m": {"bytes": 1, "sha256": "0"}}})

    def ask_for(self, *names: str) -> None:
        self.prompts.write_text(json.dumps({"describe": {name: {"words": PROMPTS[name]} for name in names}}))

    def arguments(self, track: str, prompt: str) -> list[str]:
        texts = self.folder / track / "texts"
        command = ["describe", str(self.folder / track / "full_mix.flac"), "--prompts", str(self.prompts)]
        command += ["--prompt", prompt, "--identity", str(self.folder / "model.json"), "--backend", "stand-in"]
        command += ["--model", str(self.diary), "-o", str(texts / f"{prompt}.txt")]
        return [*command, "--record", str(texts / f"{prompt}.json")]

    def client(self, track: str, prompt: str) -> subprocess.Popen:
        command = [sys.executable, "-I", "-S", str(WARM), "--model", *self.arguments(track, prompt)]
        return subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)

    def describe(self, track: str, prompt: str) -> tuple[int, str]:
        client = self.client(track, prompt)
        said = client.communicate(timeout=60)[1]
        return client.returncode, said.removeprefix(LOADING)

    def text(self, track: str, prompt: str) -> str:
        return (self.folder / track / "texts" / f"{prompt}.txt").read_text()

    def notes(self) -> list[str]:
        return [line.split()[0] for line in self.diary.read_text().splitlines()] if self.diary.exists() else []


LOADING = "mirflow: loading the model\n"  # what the first request says


@pytest.fixture
def house(tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="mw") as runtime:
        run = subprocess.Popen(["sleep", "600"])
        here = House(tmp_path, runtime, run.pid)
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        here.path = session.socket_path(here.run, "model_server")
        listening, says = os.pipe()
        start = "model_server.main(sys.argv[1:])"
        served = python(start, here.path, here.run, str(says), environment=here.environment, pass_fds=[says])
        os.close(says)
        assert os.read(listening, 5) == b"ready"
        os.close(listening)
        here.end_run = lambda: (run.kill(), run.wait())
        yield here
        here.end_run()
        assert served.wait(timeout=10) == 0, "the worker outlives its run, or fails at its end"
        assert not os.path.exists(here.path)


def test_a_track_is_encoded_once_and_the_model_loaded_once_whatever_the_order_of_the_jobs(house):
    for track, prompt in [("a", "full"), ("b", "mood"), ("a", "mood"), ("b", "full")]:
        assert house.describe(track, prompt)[0] == 0
    assert sorted(house.notes()) == sorted(["load", *["encode"] * 2, *["answer"] * 4])
    assert len({house.text(track, prompt) for track in "ab" for prompt in ("full", "mood")}) == 4


def test_texts_that_are_there_are_not_made_again_and_a_changed_question_is(house):
    for prompt in ("full", "mood"):
        house.describe("a", prompt)
    house.ask_for("full")
    assert house.describe("a", "full")[0] == 0  # asked for again, alone
    assert house.notes().count("answer") == 3
    house.prompts.write_text(json.dumps({"describe": {"full": {"words": "loud"}, "mood": {"words": PROMPTS["mood"]}}}))
    before = house.text("a", "full")
    assert house.describe("a", "full")[0] == 0
    assert house.notes().count("answer") == 4 and house.notes().count("encode") == 1
    assert house.text("a", "full") != before


def test_a_text_of_an_earlier_version_of_this_code_is_due(house):
    for prompt in ("full", "mood"):
        house.describe("a", prompt)
    path = house.folder / "a" / "texts" / "mood.json"
    made = artifacts.read_json(path)
    made["asked"]["version"] = 0
    artifacts.write_json(path, made)
    house.describe("a", "full")
    assert house.notes().count("answer") == 4 and house.notes().count("encode") == 1


def test_warm_and_cold_give_the_same_bytes(house):
    house.describe("a", "full")
    files = [house.folder / "a" / "texts" / f"full.{suffix}" for suffix in ("txt", "json")]
    warm = [path.read_bytes() for path in files]
    for path in files:
        path.unlink()
    start = "from mirflow.__main__ import main; sys.exit(main(sys.argv[1:]))"
    assert python(start, *house.arguments("a", "full"), environment=house.environment).wait() == 0
    assert house.notes().count("load") == 2
    assert [path.read_bytes() for path in files] == warm


def test_a_crash_loses_one_job_and_says_so(house):
    house.ask_for("crash")
    status, said = house.describe("a", "crash")
    assert status == 128 + signal.SIGSEGV and "killed by SIGSEGV" in said.splitlines()[-1]
    house.ask_for("full")
    assert house.describe("a", "full")[0] == 0
    assert house.notes() == ["load", "encode", "answer", "load", "encode", "answer"]


def test_useless_answers_fail_with_their_reason_after_a_second_attempt_that_is_not_greedy(house):
    house.ask_for("loop", "full")
    assert house.describe("a", "full")[0] == 0  # its neighbour's failure is not its own
    status, said = house.describe("a", "loop")
    assert status == 1
    assert said.splitlines()[-1].startswith("mirflow: error: ")
    assert "a/full_mix.flac: the model gave no useful answer, twice" in said and "repeats itself" in said
    assert [line for line in house.diary.read_text().splitlines() if "loop" in line] == [
        "answer loop 0.0",
        "answer loop 0.7",
    ]


def test_a_client_that_goes_away_does_not_block_the_others(house):
    house.ask_for("sleep")
    sleeping = house.client("a", "sleep")
    while "answer" not in house.notes():
        time.sleep(0.02)
    waiting, leaving = house.client("b", "sleep"), house.client("a", "sleep")
    time.sleep(0.3)
    leaving.kill()
    leaving.communicate()
    house.ask_for("full")
    waiting_for_full = house.client("b", "full")
    waiting.kill()
    waiting.communicate()
    sleeping.kill()
    sleeping.communicate()
    said = waiting_for_full.communicate(timeout=30)[1]
    assert said.removeprefix(LOADING).startswith("mirflow: encoded")
    assert house.text("b", "full")


def test_the_worker_dies_with_its_run_even_when_it_is_busy(house):
    house.ask_for("sleep")
    client = house.client("a", "sleep")
    while "answer" not in house.notes():
        time.sleep(0.02)
    house.end_run()
    client.communicate(timeout=30)
    assert client.returncode != 0


def test_others_may_not_enter_and_half_a_request_is_no_command(house):
    assert os.stat(house.path).st_mode & 0o077 == 0 and os.stat(Path(house.path).parent).st_mode & 0o077 == 0
    import socket

    with socket.socket(socket.AF_UNIX) as half:
        half.connect(house.path)
        half.sendall(b"\0\0")
    with socket.socket(socket.AF_UNIX) as bare:  # without stdout and stderr
        bare.connect(house.path)
        bare.sendall(b"\0\0\0\2{}")
        assert bare.recv(1) == b""
    assert house.describe("a", "full")[0] == 0


def test_another_model_replaces_the_one_that_is_loaded(house):
    house.describe("a", "full")
    artifacts.write_json(house.folder / "model.json", {"name": "m", "files": {"m": {"bytes": 1, "sha256": "1"}}})
    house.describe("a", "full")
    assert [note for note in house.notes() if note in ("load", "close")] == ["load", "close", "load"]


def test_silence_is_not_asked_about_and_damaged_audio_is_named(house):
    import soundfile

    path = house.folder / "a" / "full_mix.flac"
    soundfile.write(path, np.zeros((8000, 2)), 8000)
    assert house.describe("a", "full") == (0, "")
    assert house.text("a", "full") == "" and "answer" not in house.notes()
    soundfile.write(path, np.zeros((0, 2)), 8000)
    status, said = house.describe("a", "full")
    assert status == 1 and "a/full_mix.flac: cannot be read as audio" in said.splitlines()[-1]
