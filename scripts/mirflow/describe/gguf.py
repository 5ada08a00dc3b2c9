"""Music Flamingo as GGUF files, run by llama.cpp (package llama-cpp-python).

A track is encoded once: the beginning of the conversation and the audio are evaluated, and stay in the context. Each
question is evaluated after them, and removed again after its answer. The answer to a question does not depend on the
questions before it, so the texts are those of separate runs.
"""

import contextlib
import ctypes
import importlib.metadata
import math
import os
from collections import deque
from pathlib import Path

import numpy as np

from mirflow.core.errors import MirflowError
from mirflow.describe.audio_input import RATE, WINDOW, WINDOW_TOKENS
from mirflow.describe.generation import QUESTION_TOKENS, Decoding, Raw

PACKAGE = "llama-cpp-python"
MAX_SECONDS = 600.0  # the longest audio that the model was trained on
BATCH = 768  # tokens that are evaluated at once, enough for a whole window
CONTEXT_STEP = 1024  # tokens; the context's size is a multiple, so that few tracks need a new one
FADE = 240  # samples, 15 ms: where audio ends closer than this to the end of a window, llama.cpp adds a silent window
FLASH_ATTENTION_OFF = 0  # with flash attention, results depend on the number of threads
CHAT = (  # for files without a chat format of their own: that of Qwen2
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)
SYSTEM = "You are a helpful assistant."
ERROR_LEVEL = 4  # of ggml's log
LOGGED = 20  # lines of the log that are kept

_log: deque[str] = deque(maxlen=LOGGED)


def _library():
    """Import llama_cpp and its multimodal part, and collect their log.

    Raises
    ------
    MirflowError : the package is not installed, or cannot be loaded
    """
    # Idle OpenMP threads would keep cores busy, which on a busy machine costs more than the work. The library reads
    # this variable when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import llama_cpp
        from llama_cpp import mtmd_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise MirflowError(f"describe.backend gguf needs the package {PACKAGE} (envs/flamingo.txt): {error}") from error
    if not hasattr(_library, "callback"):
        _library.callback = llama_cpp.llama_log_callback(_caught)  # a reference must stay, since C holds none
        llama_cpp.llama_log_set(_library.callback, ctypes.c_void_p(0))
        mtmd_cpp.mtmd_helper_log_set(_library.callback, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
    return llama_cpp, mtmd_cpp


def _caught(level: int, text: bytes, _: object) -> None:
    if level == ERROR_LEVEL:
        _log.append(" ".join(text.decode(errors="replace").split()))


def _errors() -> str:
    """Return the first errors that llama.cpp has logged since the last call."""
    lines = [line for line in _log if line]
    _log.clear()
    return "; ".join(lines[:3]) or "no reason given"


def _check_readable(path: Path, what: str) -> None:
    """Raise MirflowError, naming the file, unless it can be read and is a GGUF file."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise MirflowError(f"{path}: the {what} cannot be read ({error.strerror})") from error
    if magic != b"GGUF":
        raise MirflowError(f"{path}: the {what} is not a GGUF file")


class Text:
    """A GGUF language model, which answers questions without audio."""

    def __init__(self, model: str | os.PathLike, device: str = "auto", threads: int = 1) -> None:
        self.cpp, self.mtmd = _library()
        self.name, self.version = PACKAGE, importlib.metadata.version(PACKAGE)
        self.path, self.threads, self.gpu = Path(model), threads, device != "cpu"
        self.context = None
        _check_readable(self.path, "model")
        _log.clear()
        parameters = self.cpp.llama_model_default_params()
        parameters.n_gpu_layers = -1 if self.gpu else 0
        self.model = self.cpp.llama_model_load_from_file(os.fsencode(self.path), parameters)
        if not self.model:
            reason = _errors()
            swapped = " (are model and projector swapped?)" if "clip" in reason.lower() else ""
            raise MirflowError(f"{self.path}: cannot be loaded as a model{swapped}: {reason}")
        self.vocabulary = self.cpp.llama_model_get_vocab(self.model)
        self.context_size = self.cpp.llama_model_n_ctx_train(self.model)

    def close(self) -> None:
        """Free everything."""
        if self.context:
            self.cpp.llama_free(self.context)
            self.context = None
        if self.model:
            self.cpp.llama_model_free(self.model)
            self.model = None

    def reserve(self, tokens: int) -> None:
        """Empty the context, and make it large enough for so many tokens.

        Raises
        ------
        MirflowError : the model does not support so many, or there is too little memory
        """
        if tokens > self.context_size:
            raise MirflowError(f"{self.path}: {tokens} tokens are needed, its context has {self.context_size}")
        if self.context and self.cpp.llama_n_ctx(self.context) >= tokens:
            self.cpp.llama_memory_clear(self.cpp.llama_get_memory(self.context), True)
            return
        if self.context:
            self.cpp.llama_free(self.context)
        parameters = self.cpp.llama_context_default_params()
        parameters.n_ctx = CONTEXT_STEP * math.ceil(tokens / CONTEXT_STEP)
        parameters.n_batch = parameters.n_ubatch = BATCH
        parameters.n_threads = parameters.n_threads_batch = self.threads
        parameters.flash_attn_type = FLASH_ATTENTION_OFF
        parameters.offload_kqv = parameters.op_offload = self.gpu
        _log.clear()
        self.context = self.cpp.llama_init_from_model(self.model, parameters)
        if not self.context:
            raise MirflowError(f"{self.path}: no memory for a context of {parameters.n_ctx} tokens: {_errors()}")

    def tokens(self, text: str, special: bool) -> list[int]:
        """Return the tokens of a text; only with `special`, names of control tokens in it become these tokens."""
        data = text.encode()
        room = len(data) + 8
        ids = (self.cpp.llama_token * room)()
        count = self.cpp.llama_tokenize(self.vocabulary, data, len(data), ids, room, False, special)
        if count < 0:
            raise MirflowError(f"{self.path}: its tokenizer fails on {text[:60]!r}")
        return list(ids[:count])

    def chat(self, content: str) -> str:
        """Return a user's message in the model's chat format, up to where the answer begins."""
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        own = self.cpp.llama_model_chat_template(self.model, None)
        messages = [{"role": "user", "content": content}]
        if not own:
            messages.insert(0, {"role": "system", "content": SYSTEM})
        return Jinja2ChatFormatter(own.decode() if own else CHAT, eos_token="", bos_token="")(messages=messages).prompt

    def evaluate(self, tokens: list[int]) -> None:
        """Evaluate tokens after those that the context holds."""
        for start in range(0, len(tokens), BATCH):
            part = tokens[start : start + BATCH]
            ids = (self.cpp.llama_token * len(part))(*part)
            status = self.cpp.llama_decode(self.context, self.cpp.llama_batch_get_one(ids, len(part)))
            if status:
                size = self.cpp.llama_n_ctx(self.context)
                reason = f"its context of {size} tokens is full" if status == 1 else f"status {status}: {_errors()}"
                raise MirflowError(f"{self.path}: evaluation failed, {reason}")

    def generate(self, decoding: Decoding) -> Raw:
        """Generate an answer to what was evaluated last."""
        sampler = self.cpp.llama_sampler_chain_init(self.cpp.llama_sampler_chain_default_params())
        if decoding.temperature > 0:
            self.cpp.llama_sampler_chain_add(sampler, self.cpp.llama_sampler_init_top_p(decoding.top_p, 1))
            self.cpp.llama_sampler_chain_add(sampler, self.cpp.llama_sampler_init_temp(decoding.temperature))
            self.cpp.llama_sampler_chain_add(sampler, self.cpp.llama_sampler_init_dist(decoding.seed))
        else:
            self.cpp.llama_sampler_chain_add(sampler, self.cpp.llama_sampler_init_greedy())
        text, finished, count = bytearray(), False, 0
        try:
            while count < decoding.max_tokens:
                token = self.cpp.llama_sampler_sample(sampler, self.context, -1)
                if self.cpp.llama_vocab_is_eog(self.vocabulary, token):
                    finished = True
                    break
                text += self._piece(token)
                count += 1
                if count < decoding.max_tokens:
                    self.evaluate([token])
        finally:
            self.cpp.llama_sampler_free(sampler)
        return Raw(text.decode(errors="replace"), count, finished)

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        count = self.cpp.llama_token_to_piece(self.vocabulary, token, buffer, len(buffer), 0, True)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = self.cpp.llama_token_to_piece(self.vocabulary, token, buffer, len(buffer), 0, True)
        return buffer.raw[:count]

    def answer(self, question: str, decoding: Decoding) -> Raw:
        """Answer a question that needs no audio."""
        head, tail = self.chat("\0").split("\0", 1)
        tokens = self.tokens(head, True) + self.tokens(question, False) + self.tokens(tail, True)
        self.reserve(len(tokens) + decoding.max_tokens)
        self.evaluate(tokens)
        return self.generate(decoding)


class Gguf(Text):
    """Music Flamingo: a language model with an audio encoder, whose output a projector turns into tokens."""

    def __init__(
        self, model: str | os.PathLike, projector: str | os.PathLike, device: str = "auto", threads: int = 1
    ) -> None:
        self.projector, self.encoder = Path(projector), None
        _check_readable(self.projector, "projector")
        super().__init__(model, device, threads)
        self.encodings = 0
        parameters = self.mtmd.mtmd_context_params_default()
        parameters.use_gpu = self.gpu
        parameters.n_threads = threads
        parameters.print_timings = False
        parameters.flash_attn_type = FLASH_ATTENTION_OFF
        parameters.warmup = False
        _log.clear()
        self.encoder = self.mtmd.mtmd_init_from_file(os.fsencode(self.projector), self.model, parameters)
        if not self.encoder:
            reason = _errors()
            self.close()
            raise MirflowError(f"{self.projector}: is not a projector of {self.path}: {reason}")
        if not self.mtmd.mtmd_support_audio(self.encoder):
            self.close()
            raise MirflowError(f"{self.projector}: this projector is for pictures, not for audio")
        self.marker = self.mtmd.mtmd_default_marker().decode()
        # The question must come right after the audio in the model's chat format.
        head, _, rest = self.chat(self.marker + "\0").partition(self.marker)
        between, _, self.tail = rest.partition("\0")
        if between or not self.tail:
            self.close()
            raise MirflowError(f"{self.path}: its chat format does not put the question right after the audio")
        self.head = head + self.marker
        self.prefix = 0  # tokens of the audio and of what comes before it
        windows = int((self.context_size - QUESTION_TOKENS) // WINDOW_TOKENS)
        self.max_seconds = max(WINDOW, min(MAX_SECONDS * RATE, windows * WINDOW)) / RATE

    def close(self) -> None:
        """Free everything."""
        if self.encoder:
            self.mtmd.mtmd_free(self.encoder)
            self.encoder = None
        super().close()

    def encode(self, samples: np.ndarray, answer_tokens: int) -> None:
        """Encode a track: float32 [n] at 16 kHz, at least a second.

        Raises
        ------
        MirflowError : the context is too small for it, or the audio cannot be encoded
        """
        self.prefix = 0
        beyond = len(samples) % WINDOW or WINDOW
        if WINDOW - beyond < FADE:
            samples = samples[: len(samples) - (beyond - (WINDOW - FADE))]
        samples = np.ascontiguousarray(samples, dtype=np.float32)
        mtmd = self.mtmd
        with contextlib.ExitStack() as stack:
            bitmap = mtmd.mtmd_bitmap_init_from_audio(
                len(samples), samples.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            )
            stack.callback(mtmd.mtmd_bitmap_free, bitmap)
            chunks = mtmd.mtmd_input_chunks_init()
            stack.callback(mtmd.mtmd_input_chunks_free, chunks)
            head = self.head.encode()
            text = mtmd.mtmd_input_text(text=head, text_len=len(head), add_special=False, parse_special=True)
            bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
            _log.clear()
            if mtmd.mtmd_tokenize(self.encoder, chunks, ctypes.byref(text), bitmaps, 1):
                raise MirflowError(f"{self.projector}: the audio cannot be prepared: {_errors()}")
            needed = mtmd.mtmd_helper_get_n_tokens(chunks)
            self.reserve(needed + QUESTION_TOKENS + answer_tokens)
            past = self.cpp.llama_pos(0)
            status = mtmd.mtmd_helper_eval_chunks(
                self.encoder, self.context, chunks, 0, 0, BATCH, False, ctypes.byref(past)
            )
            if status:
                size = self.cpp.llama_n_ctx(self.context)
                raise MirflowError(f"{self.path}: the audio cannot be encoded ({needed} of {size} tokens): {_errors()}")
            self.encodings += sum(
                mtmd.mtmd_input_chunk_get_type(mtmd.mtmd_input_chunks_get(chunks, index)) == AUDIO_CHUNK
                for index in range(mtmd.mtmd_input_chunks_size(chunks))
            )
            self.prefix = past.value

    def answer(self, question: str, decoding: Decoding) -> Raw:
        """Answer a question about the track that was encoded last."""
        if not self.prefix:
            raise RuntimeError("no track is encoded")
        tokens = self.tokens(question, False) + self.tokens(self.tail, True)
        needed = self.prefix + len(tokens) + decoding.max_tokens
        size = self.cpp.llama_n_ctx(self.context)
        if needed > size:
            raise MirflowError(f"{self.path}: audio, question and answer need {needed} tokens, the context has {size}")
        self.cpp.llama_memory_seq_rm(self.cpp.llama_get_memory(self.context), 0, self.prefix, -1)
        self.evaluate(tokens)
        return self.generate(decoding)


AUDIO_CHUNK = 2  # of mtmd_input_chunk_type
