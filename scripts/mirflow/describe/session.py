"""A loaded model with the track that it encoded last, and answers that it gave before their jobs asked for them."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.describe.audio_input import AudioInput, prepare
from mirflow.describe.generation import VERSION, Answer, Backend, Decoding, ask


@dataclass(frozen=True)
class Track:
    """A track to describe.

    Attributes
    ----------
    name : for messages
    key : identifies the audio: path, size and modification time of its file
    read : returns the audio
    """

    name: str
    key: tuple
    read: Callable[[], Audio]


@dataclass(frozen=True)
class Question:
    """A question, with everything else that decides its answer.

    Attributes
    ----------
    words : of the question, with its placeholders filled
    decoding : how the answer is generated
    model : what identifies the model (see `backends.identity`)
    backend : name of the backend
    """

    words: str
    decoding: Decoding
    model: dict[str, Any]
    backend: str

    def asked(self) -> dict[str, Any]:
        """Return what the record keeps of it: a text whose record holds the same is up to date."""
        return {**asdict(self), "version": VERSION}


class Session:
    """Asks one model about tracks; a track is encoded once for all consecutive questions about it."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.track: tuple | None = None
        self.audio: AudioInput | None = None
        self.ahead: dict[tuple, dict | MirflowError] = {}

    def close(self) -> None:
        """Free the model."""
        self.backend.close()

    def describe(self, track: Track, question: Question, answer_tokens: int) -> dict[str, Any]:
        """Answer a question about a track.

        Parameters
        ----------
        answer_tokens : the longest answer to any of the questions about this track

        Returns
        -------
        ``text`` ("" for a silent track), and what its record holds

        Raises
        ------
        MirflowError : the track cannot be read or encoded, or no answer is usable; names the track
        """
        key = (track.key, json.dumps(question.asked(), sort_keys=True))
        result = self.ahead.pop(key) if key in self.ahead else self._describe(track, question, answer_tokens)
        if isinstance(result, MirflowError):
            raise result
        return result

    def describe_ahead(self, track: Track, question: Question, answer_tokens: int) -> None:
        """Answer a question that will be asked soon; keep the answer, or the error, until then."""
        key = (track.key, json.dumps(question.asked(), sort_keys=True))
        if key in self.ahead:
            return
        try:
            self.ahead[key] = self._describe(track, question, answer_tokens)
        except MirflowError as error:
            self.ahead[key] = error

    def _describe(self, track: Track, question: Question, answer_tokens: int) -> dict[str, Any]:
        self._encode(track, answer_tokens)
        record = {"backend": self.backend.name, "backend_version": self.backend.version}
        record |= {"heard_seconds": self.audio.seconds, "cut_off_seconds": self.audio.cut_off}
        if self.audio.silent:
            return {"text": "", **record, "reason": "the track is silent"}
        try:
            answer: Answer = ask(self.backend, question.words, question.decoding)
        except MirflowError as error:
            raise MirflowError(f"{track.name}: {error}") from error
        return {"text": answer.text, **record, **answer.record()}

    def _encode(self, track: Track, answer_tokens: int) -> None:
        if self.track == track.key:
            return
        self.track = None  # if anything below fails, no track is encoded
        try:
            self.audio = prepare(track.read(), self.backend.max_seconds)
        except ValueError as error:
            raise MirflowError(f"{track.name}: {error}") from error
        if not self.audio.silent:
            before = self.backend.encodings
            try:
                self.backend.encode(self.audio.samples, answer_tokens)
            except MirflowError as error:
                raise MirflowError(f"{track.name}: {error}") from error
            windows = self.backend.encodings - before
            print(f"mirflow: encoded {self.audio.seconds:.1f} s of {track.name} in {windows} windows", file=sys.stderr)
        self.track = track.key
