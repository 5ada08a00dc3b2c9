"""What every backend takes and gives back."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np

from mirflow.describe import faults, normalise
from mirflow.errors import MirflowError

VERSION = 1  # raise it when other texts come out: what is heard, how it is asked, normalisation, what counts as a fault
RETRY_TEMPERATURE = 0.7  # greedy decoding would give the same useless answer again
RETRY_TOP_P = 0.9
QUESTION_TOKENS = 1024  # room for a question in the context


@dataclass(frozen=True)
class Decoding:
    """How an answer is drawn.

    Attributes
    ----------
    max_tokens : the longest answer
    temperature : 0 takes the likeliest token always, and gives the same text every time
    top_p : with a temperature above 0, the likeliest tokens with this total probability take part
    seed : with a temperature above 0, decides the draw
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def again(self) -> "Decoding":
        """Return how to draw once more after a useless answer: with another seed, and never greedily."""
        if self.temperature > 0:
            return replace(self, seed=self.seed + 1)
        return replace(self, temperature=RETRY_TEMPERATURE, top_p=RETRY_TOP_P, seed=self.seed + 1)


@dataclass(frozen=True)
class Raw:
    """What a model said.

    Attributes
    ----------
    text : as it came, without the token that ends it
    tokens : how many the answer has
    finished : whether the model ended it; otherwise it was cut at max_tokens
    """

    text: str
    tokens: int
    finished: bool


@dataclass(frozen=True)
class Answer:
    """An answer that is good for something, with how it came about."""

    text: str
    tokens: int
    finished: bool
    decoding: Decoding
    retried: str | None  # why the first attempt was thrown away

    def record(self) -> dict[str, Any]:
        """Return what the provenance says of it."""
        said = {"decoding": asdict(self.decoding), "tokens": self.tokens, "finished": self.finished}
        return said | ({"retried": self.retried} if self.retried else {})


class Backend(Protocol):
    """A loaded model.

    It hears a track once (`hear`, the expensive part), and answers any number of questions about it afterwards.

    Attributes
    ----------
    name, version : of the library that runs it
    most_seconds : the longest track that the model takes
    encodings : how many windows of sound it has encoded so far
    """

    name: str
    version: str
    most_seconds: float
    encodings: int

    def hear(self, samples: np.ndarray, answer_tokens: int) -> None:
        """Encode a track: float32 [n] at 16 kHz; `answer_tokens` is the longest answer that will be asked for."""

    def answer(self, question: str, decoding: Decoding) -> Raw:
        """Answer a question about the track that was heard last."""

    def close(self) -> None:
        """Free the memory."""


def ask(backend: Backend, question: str, decoding: Decoding) -> Answer:
    """Ask until the answer is good for something, twice at most.

    Raises
    ------
    MirflowError : when neither answer is; says what is wrong with the second
    """
    retried = None
    for attempt in (decoding, decoding.again()):
        raw = backend.answer(question, attempt)
        text = normalise.normalise(normalise.strip_structure(raw.text))
        fault = faults.fault(text)
        if fault is None:
            return Answer(text, raw.tokens, raw.finished, attempt, retried)
        retried = retried or fault
    raise MirflowError(f"the model gave no useful answer, twice: first {retried}; then {fault}")
