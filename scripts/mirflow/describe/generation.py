"""Asking a model: what every backend offers, how an answer is generated, and a second attempt after a useless one."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np

from mirflow.core.errors import MirflowError
from mirflow.describe import answer_checks, normalise

VERSION = 1  # raise it when texts change: audio input, chat format, normalisation, what counts as a useless answer
RETRY_TEMPERATURE = 0.7  # greedy decoding would give the same useless answer again
RETRY_TOP_P = 0.9
QUESTION_TOKENS = 1024  # room for a question in the context


@dataclass(frozen=True)
class Decoding:
    """How an answer is generated.

    Attributes
    ----------
    max_tokens : the longest answer
    temperature : 0 always takes the likeliest token (greedy decoding), and gives the same text every time
    top_p : with a temperature above 0, sample from the likeliest tokens that together have this probability
    seed : with a temperature above 0, of the sampling
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def again(self) -> "Decoding":
        """Return how to generate once more after a useless answer: with another seed, and never greedily."""
        if self.temperature > 0:
            return replace(self, seed=self.seed + 1)
        return replace(self, temperature=RETRY_TEMPERATURE, top_p=RETRY_TOP_P, seed=self.seed + 1)


@dataclass(frozen=True)
class Raw:
    """The output of a model.

    Attributes
    ----------
    text : unchanged, without the token that ends it
    tokens : number of tokens of the answer
    finished : whether the model ended it; otherwise it was cut off at max_tokens
    """

    text: str
    tokens: int
    finished: bool


@dataclass(frozen=True)
class Answer:
    """A usable answer, and how it was generated."""

    text: str
    tokens: int
    finished: bool
    decoding: Decoding
    retried: str | None  # why the first attempt was discarded; None without a second one

    def record(self) -> dict[str, Any]:
        """Return what the provenance records of it."""
        entry = {"decoding": asdict(self.decoding), "tokens": self.tokens, "finished": self.finished}
        return entry | ({"retried": self.retried} if self.retried else {})


class Backend(Protocol):
    """A loaded model.

    It encodes a track once (`encode`, the expensive part), and then answers any number of questions about it.

    Attributes
    ----------
    name, version : of the library that runs it
    max_seconds : the longest track that the model takes
    encodings : number of windows of audio that it has encoded so far
    """

    name: str
    version: str
    max_seconds: float
    encodings: int

    def encode(self, samples: np.ndarray, answer_tokens: int) -> None:
        """Encode a track: float32 [n] at 16 kHz; answers to come may have up to `answer_tokens`."""

    def answer(self, question: str, decoding: Decoding) -> Raw:
        """Answer a question about the track that was encoded last."""

    def close(self) -> None:
        """Free the memory."""


def ask(backend: Backend, question: str, decoding: Decoding) -> Answer:
    """Ask until the answer is usable, twice at most.

    Raises
    ------
    MirflowError : neither answer is usable; says what is wrong with each
    """
    retried = None
    for attempt in (decoding, decoding.again()):
        raw = backend.answer(question, attempt)
        text = normalise.normalise(normalise.strip_structure(raw.text))
        problem = answer_checks.problem(text)
        if problem is None:
            return Answer(text, raw.tokens, raw.finished, attempt, retried)
        retried = retried or problem
    raise MirflowError(f"the model gave no useful answer, twice: first {retried}; then {problem}")
