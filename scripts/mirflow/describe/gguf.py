"""Music Flamingo as GGUF files, run by llama.cpp (package llama-cpp-python).

A track is encoded once: the beginning of the conversation and the sound are evaluated, and stay in the context. Each
question is evaluated behind them, and removed again after its answer. What is computed for a question does not depend
on the questions before it, so the texts are those of separate runs.
"""

import contextlib
import ctypes
import importlib.metadata
import math
import os
from collections import deque
from pathlib import Path

import numpy as np

from mirflow.describe.answer import QUESTION_TOKENS, Decoding, Raw
from mirflow.describe.sound import RATE, WINDOW, WINDOW_TOKENS
from mirflow.errors import MirflowError

PACKAGE = "llama-cpp-python"
MOST_SECONDS = 600.0  # what the model was trained on
BATCH = 768  # tokens that are evaluated at once: a whole window
CONTEXT_STEP = 1024  # tokens; contexts are multiples, so that few tracks need a new one
FADE = 240  # samples, 15 ms: a track that ends closer than this to the end of a window gets one more, silent window
FLASH_ATTENTION_OFF = 0  # on, results depend on the number of threads
CHAT = (  # where a file brings no format of its own: that of Qwen2
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)
SYSTEM = "You are a helpful assistant."
ERROR_LEVEL = 4  # of ggml's log
LOGGED = 20  # last lines kept

_log: deque[str] = deque(maxlen=LOGGED)


def _library():
    """Import llama_cpp and its multimodal part, with their log caught.

    Raises
    ------
    MirflowError : when the package is not installed or does not load
    """
    # Idle threads of OpenMP spin; on a busy machine that costs more than the work. Read when the library is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import llama_cpp
        from llama_cpp import mtmd_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise MirflowError(f"describe.backend gguf needs the package {PACKAGE} (envs/flamingo.txt): {error}") from error
    if not hasattr(_library, "callback"):
        _library.callback = llama_cpp.llama_log_callback(_caught)  # kept: C holds no reference
        llama_cpp.llama_log_set(_library.callback, ctypes.c_void_p(0))
        mtmd_cpp.mtmd_helper_log_set(_library.callback, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
    return llama_cpp, mtmd_cpp


def _caught(level: int, text: bytes, _: object) -> None:
    if level == ERROR_LEVEL:
        _log.append(" ".join(text.decode(errors="replace").split()))


def _said() -> str:
    """Return what llama.cpp logged as errors since the last call, in short."""
    lines = [line for line in _log if line]
    _log.clear()
    return "; ".join(lines[:3]) or "no reason given"


def _readable(path: Path, what: str) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise MirflowError(f"{path}: the {what} cannot be read ({error.strerror})") from error
    if magic != b"GGUF":
        raise MirflowError(f"{path}: the {what} is no GGUF file")


class Text:
    """A GGUF language model and its context."""

    def __init__(self, model: str | os.PathLike, device: str = "auto", threads: int = 1) -> None:
        self.cpp, self.mtmd = _library()
        self.name, self.version = PACKAGE, importlib.metadata.version(PACKAGE)
        self.path, self.threads, self.gpu = Path(model), threads, device != "cpu"
        self.context = None
        _readable(self.path, "model")
        _log.clear()
        parameters = self.cpp.llama_model_default_params()
        parameters.n_gpu_layers = -1 if self.gpu else 0
        self.model = self.cpp.llama_model_load_from_file(os.fsencode(self.path), parameters)
        if not self.model:
            said = _said()
            swapped = " (are model and projector swapped?)" if "clip" in said.lower() else ""
            raise MirflowError(f"{self.path}: cannot be loaded as a model{swapped}: {said}")
        self.vocabulary = self.cpp.llama_model_get_vocab(self.model)
        self.most_tokens = self.cpp.llama_model_n_ctx_train(self.model)

    def close(self) -> None:
        """Free everything."""
        if self.context:
            self.cpp.llama_free(self.context)
            self.context = None
        if self.model:
            self.cpp.llama_model_free(self.model)
            self.model = None

    def reserve(self, tokens: int) -> None:
        """Have an empty context for at least so many tokens.

        Raises
        ------
        MirflowError : when the model was not made for so many, or memory is short
        """
        if tokens > self.most_tokens:
            raise MirflowError(f"{self.path}: {tokens} tokens are needed, its context has {self.most_tokens}")
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
            raise MirflowError(f"{self.path}: no memory for a context of {parameters.n_ctx} tokens: {_said()}")

    def tokens(self, text: str, special: bool) -> list[int]:
        """Return the tokens of a text; names of control tokens in it count as such only if `special`."""
        data = text.encode()
        room = len(data) + 8
        ids = (self.cpp.llama_token * room)()
        count = self.cpp.llama_tokenize(self.vocabulary, data, len(data), ids, room, False, special)
        if count < 0:
            raise MirflowError(f"{self.path}: its tokenizer fails on {text[:60]!r}")
        return list(ids[:count])

    def chat(self, content: str) -> str:
        """Return a user's message in the model's own format, ready to be answered."""
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        own = self.cpp.llama_model_chat_template(self.model, None)
        messages = [{"role": "user", "content": content}]
        if not own:
            messages.insert(0, {"role": "system", "content": SYSTEM})
        return Jinja2ChatFormatter(own.decode() if own else CHAT, eos_token="", bos_token="")(messages=messages).prompt

    def evaluate(self, tokens: list[int]) -> None:
        """Evaluate tokens behind what the context holds."""
        for start in range(0, len(tokens), BATCH):
            part = tokens[start : start + BATCH]
            ids = (self.cpp.llama_token * len(part))(*part)
            status = self.cpp.llama_decode(self.context, self.cpp.llama_batch_get_one(ids, len(part)))
            if status:
                size = self.cpp.llama_n_ctx(self.context)
                reason = f"its context of {size} tokens is full" if status == 1 else f"status {status}: {_said()}"
                raise MirflowError(f"{self.path}: evaluation failed, {reason}")

    def generate(self, decoding: Decoding) -> Raw:
        """Continue what was evaluated last."""
        sampler = self.cpp.llama_sampler_chain_init(self.cpp.llama_sampler_chain_default_params())
        if decoding.temperature > 0:
            self.cpp.llama_sampler_chain_add(sampler, self.cpp.llama_sampler_init_top_p(decoding.top_p, 1))
            self.cpp.llama_sampler_chain_add(sampler, self.cpp.llama_sampler_init_temp(decoding.temperature))
            self.cpp.llama_sampler_chain_add(sampler, self.cpp.llama_sampler_init_dist(decoding.seed))
        else:
            self.cpp.llama_sampler_chain_add(sampler, self.cpp.llama_sampler_init_greedy())
        said, finished = bytearray(), False
        count = 0
        try:
            while count < decoding.max_tokens:
                token = self.cpp.llama_sampler_sample(sampler, self.context, -1)
                if self.cpp.llama_vocab_is_eog(self.vocabulary, token):
                    finished = True
                    break
                said += self._piece(token)
                count += 1
                if count < decoding.max_tokens:
                    self.evaluate([token])
        finally:
            self.cpp.llama_sampler_free(sampler)
        return Raw(said.decode(errors="replace"), count, finished)

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        count = self.cpp.llama_token_to_piece(self.vocabulary, token, buffer, len(buffer), 0, True)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = self.cpp.llama_token_to_piece(self.vocabulary, token, buffer, len(buffer), 0, True)
        return buffer.raw[:count]

    def answer(self, question: str, decoding: Decoding) -> Raw:
        """Answer a question that needs no sound."""
        head, tail = self.chat("\0").split("\0", 1)
        tokens = self.tokens(head, True) + self.tokens(question, False) + self.tokens(tail, True)
        self.reserve(len(tokens) + decoding.max_tokens)
        self.evaluate(tokens)
        return self.generate(decoding)


class Gguf(Text):
    """Music Flamingo: a language model with a projector that lets it hear."""

    def __init__(
        self, model: str | os.PathLike, projector: str | os.PathLike, device: str = "auto", threads: int = 1
    ) -> None:
        self.projector, self.sight = Path(projector), None
        _readable(self.projector, "projector")
        super().__init__(model, device, threads)
        self.encodings = 0
        parameters = self.mtmd.mtmd_context_params_default()
        parameters.use_gpu = self.gpu
        parameters.n_threads = threads
        parameters.print_timings = False
        parameters.flash_attn_type = FLASH_ATTENTION_OFF
        parameters.warmup = False
        _log.clear()
        self.sight = self.mtmd.mtmd_init_from_file(os.fsencode(self.projector), self.model, parameters)
        if not self.sight:
            said = _said()
            self.close()
            raise MirflowError(f"{self.projector}: is no projector of {self.path}: {said}")
        if not self.mtmd.mtmd_support_audio(self.sight):
            self.close()
            raise MirflowError(f"{self.projector}: this projector sees pictures, it does not hear")
        self.marker = self.mtmd.mtmd_default_marker().decode()
        # The model's own chat format puts the question behind the sound, with nothing between.
        head, _, rest = self.chat(self.marker + "\0").partition(self.marker)
        between, _, self.tail = rest.partition("\0")
        if between or not self.tail:
            self.close()
            raise MirflowError(f"{self.path}: its chat format does not put the question behind the sound")
        self.head = head + self.marker
        self.prefix = 0  # tokens of the sound and what is before it
        windows = int((self.most_tokens - QUESTION_TOKENS) // WINDOW_TOKENS)
        self.most_seconds = max(WINDOW, min(MOST_SECONDS * RATE, windows * WINDOW)) / RATE

    def close(self) -> None:
        """Free everything."""
        if self.sight:
            self.mtmd.mtmd_free(self.sight)
            self.sight = None
        super().close()

    def hear(self, samples: np.ndarray, answer_tokens: int) -> None:
        """Encode a track: float32 [n] at 16 kHz, at least a second.

        Raises
        ------
        MirflowError : when the context is too small for it, or the sound cannot be encoded
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
            if mtmd.mtmd_tokenize(self.sight, chunks, ctypes.byref(text), bitmaps, 1):
                raise MirflowError(f"{self.projector}: the sound cannot be prepared: {_said()}")
            needed = mtmd.mtmd_helper_get_n_tokens(chunks)
            self.reserve(needed + QUESTION_TOKENS + answer_tokens)
            past = self.cpp.llama_pos(0)
            status = mtmd.mtmd_helper_eval_chunks(
                self.sight, self.context, chunks, 0, 0, BATCH, False, ctypes.byref(past)
            )
            if status:
                size = self.cpp.llama_n_ctx(self.context)
                raise MirflowError(f"{self.path}: the sound cannot be encoded ({needed} of {size} tokens): {_said()}")
            self.encodings += sum(
                mtmd.mtmd_input_chunk_get_type(mtmd.mtmd_input_chunks_get(chunks, index)) == AUDIO_CHUNK
                for index in range(mtmd.mtmd_input_chunks_size(chunks))
            )
            self.prefix = past.value

    def answer(self, question: str, decoding: Decoding) -> Raw:
        """Answer a question about the track that was heard last."""
        if not self.prefix:
            raise RuntimeError("nothing was heard yet")
        tokens = self.tokens(question, False) + self.tokens(self.tail, True)
        needed = self.prefix + len(tokens) + decoding.max_tokens
        size = self.cpp.llama_n_ctx(self.context)
        if needed > size:
            raise MirflowError(f"{self.path}: sound, question and answer need {needed} tokens, the context has {size}")
        self.cpp.llama_memory_seq_rm(self.cpp.llama_get_memory(self.context), 0, self.prefix, -1)
        self.evaluate(tokens)
        return self.generate(decoding)


AUDIO_CHUNK = 2  # of mtmd_input_chunk_type
