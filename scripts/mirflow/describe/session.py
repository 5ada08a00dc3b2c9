"""A model, the track that it heard last, and answers that it gave ahead of their jobs."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mirflow.audio import Audio
from mirflow.describe.answer import VERSION, Answer, Backend, Decoding, ask
from mirflow.describe.sound import Sound, prepare
from mirflow.errors import MirflowError


@dataclass(frozen=True)
class Track:
    """A track that can be listened to.

    Attributes
    ----------
    name : what messages call it
    key : equal only for equal sound: path, size and time of change of its file
    read : gives the sound
    """

    name: str
    key: tuple
    read: Callable[[], Audio]


@dataclass(frozen=True)
class Question:
    """A question as it is put, with everything else that decides its answer.

    Attributes
    ----------
    words : of the question, placeholders filled
    decoding : how the answer is drawn
    model : which one (see `backends.identity`)
    backend : name of the backend
    """

    words: str
    decoding: Decoding
    model: dict[str, Any]
    backend: str

    def asked(self) -> dict[str, Any]:
        """Return it as the record keeps it: a record with the same is up to date."""
        return {**asdict(self), "version": VERSION}


class Session:
    """Asks one model about tracks. A track is encoded once for all questions that follow each other."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.track: tuple | None = None
        self.sound: Sound | None = None
        self.ahead: dict[tuple, dict | MirflowError] = {}

    def close(self) -> None:
        """Free the model."""
        self.backend.close()

    def describe(self, track: Track, question: Question, most_tokens: int) -> dict[str, Any]:
        """Answer a question about a track.

        Parameters
        ----------
        most_tokens : the longest answer to any of the questions about this track

        Returns
        -------
        ``text`` ("" for a silent track) and what is to be known about it

        Raises
        ------
        MirflowError : when the track cannot be heard, or no useful answer came; names the track
        """
        key = (track.key, json.dumps(question.asked(), sort_keys=True))
        result = self.ahead.pop(key) if key in self.ahead else self._describe(track, question, most_tokens)
        if isinstance(result, MirflowError):
            raise result
        return result

    def describe_ahead(self, track: Track, question: Question, most_tokens: int) -> None:
        """Answer a question now that will be asked soon; keep the answer, or the error, until then."""
        key = (track.key, json.dumps(question.asked(), sort_keys=True))
        if key in self.ahead:
            return
        try:
            self.ahead[key] = self._describe(track, question, most_tokens)
        except MirflowError as error:
            self.ahead[key] = error

    def _describe(self, track: Track, question: Question, most_tokens: int) -> dict[str, Any]:
        self._hear(track, most_tokens)
        said = {"backend": self.backend.name, "backend_version": self.backend.version}
        said |= {"heard_seconds": self.sound.seconds, "cut_off_seconds": self.sound.cut_off}
        if self.sound.silent:
            return {"text": "", **said, "reason": "the track is silent"}
        try:
            answer: Answer = ask(self.backend, question.words, question.decoding)
        except MirflowError as error:
            raise MirflowError(f"{track.name}: {error}") from error
        return {"text": answer.text, **said, **answer.record()}

    def _hear(self, track: Track, most_tokens: int) -> None:
        if self.track == track.key:
            return
        self.track = None  # whatever fails below, the model has heard nothing
        try:
            self.sound = prepare(track.read(), self.backend.most_seconds)
        except ValueError as error:
            raise MirflowError(f"{track.name}: {error}") from error
        if not self.sound.silent:
            before = self.backend.encodings
            try:
                self.backend.hear(self.sound.samples, most_tokens)
            except MirflowError as error:
                raise MirflowError(f"{track.name}: {error}") from error
            windows = self.backend.encodings - before
            print(f"mirflow: encoded {self.sound.seconds:.1f} s of {track.name} in {windows} windows", file=sys.stderr)
        self.track = track.key
