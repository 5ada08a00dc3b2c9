"""Music Flamingo in bfloat16, run by Hugging Face's transformers from a local folder; either of its two checkpoints.

A track is encoded once: the beginning of the conversation and the audio fill a cache of keys and values. Each question
continues from that cache, and is removed from it again after its answer.
"""

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mirflow.core.errors import MirflowError
from mirflow.describe.audio_input import RATE
from mirflow.describe.generation import QUESTION_TOKENS, Decoding, Raw
from mirflow.models import accelerator

CLASSES = {
    "audioflamingo3": "AudioFlamingo3ForConditionalGeneration",
    "musicflamingo": "MusicFlamingoForConditionalGeneration",
}
SENTINEL = "\u241e"  # stands for the question in the chat format


def _packages():
    """Import torch and transformers.

    Raises
    ------
    MirflowError : they are not installed, or cannot be loaded
    """
    accelerator.prepare()
    try:
        import torch
        import transformers
    except (ImportError, OSError, RuntimeError) as error:
        raise MirflowError(
            f"describe.backend transformers needs the packages torch and transformers (envs/flamingo.txt): {error}"
        ) from error
    return torch, transformers


class Transformers:
    """A loaded checkpoint."""

    def __init__(self, folder: str | Path, device: str = "auto", threads: int = 1) -> None:
        self.torch, transformers = _packages()
        self.transformers = transformers
        self.name, self.version = "transformers", transformers.__version__
        self.folder = Path(folder)
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.torch.set_num_threads(threads)
        self.device = accelerator.device(device)
        flash = self.device == "cuda" and importlib.util.find_spec("flash_attn") is not None
        self.attention = "flash_attention_2" if flash else "sdpa"
        self.encodings = 0
        self.model, self.processor = self._load()
        self.model.to(self.device).eval()
        own = self.model.generation_config
        tokenizer = self.processor.tokenizer
        ends = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
        self.ends = ends if isinstance(ends, list) else [ends]
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.ends[0]
        # The checkpoint's own settings would sample; here all settings are explicit.
        self.model.generation_config = transformers.GenerationConfig(eos_token_id=self.ends, pad_token_id=self.pad)
        self.context_size = self.model.config.text_config.max_position_embeddings
        self.max_seconds = float(self.processor.max_audio_len)
        self.head, self.tail = self._chat()
        self.cache = self.prefix = None

    def _load(self):
        options = {"local_files_only": True, "trust_remote_code": False}
        try:
            config = self.transformers.AutoConfig.from_pretrained(self.folder, **options)
            if config.model_type not in CLASSES:
                raise MirflowError(
                    f"{self.folder}: a model of type {config.model_type}; one of {', '.join(CLASSES)} is needed"
                )
            kind = getattr(self.transformers, CLASSES[config.model_type])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model, loaded = kind.from_pretrained(
                    self.folder,
                    dtype=self.torch.bfloat16,
                    attn_implementation=self.attention,
                    use_safetensors=True,  # other formats can execute code
                    output_loading_info=True,
                    **options,
                )
                processor = self.transformers.AutoProcessor.from_pretrained(self.folder, **options)
        except MirflowError:
            raise
        except Exception as error:  # damaged files raise errors of a dozen kinds
            reason = " ".join(str(error).split())[:300]
            raise MirflowError(f"{self.folder}: cannot be loaded ({type(error).__name__}: {reason})") from error
        # For weights that are missing, transformers uses random numbers,
        missing = sorted(loaded["missing_keys"]) + sorted(key for key, *_ in loaded.get("mismatched_keys", ()))
        if missing:
            raise MirflowError(
                f"{self.folder}: {len(missing)} weights are missing from its files, {missing[0]} is the first"
            )
        # and for a missing tokenizer an empty one.
        if (
            processor.audio_token_id != config.audio_token_id
            or len(processor.tokenizer) > config.text_config.vocab_size
        ):
            raise MirflowError(f"{self.folder}: its tokenizer does not belong to its model, or is missing")
        return model, processor

    def _chat(self) -> tuple[str, str]:
        """Return the chat format before the question, with the audio at its end, and after it."""
        content = [{"type": "audio"}, {"type": "text", "text": SENTINEL}]
        text = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        audio = self.processor.audio_token
        if text.count(audio) != 1 or text.count(SENTINEL) != 1 or not text.split(audio)[1].startswith(SENTINEL):
            raise MirflowError(f"{self.folder}: its chat format does not put the question right after the audio")
        return tuple(text.split(SENTINEL))

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Compute without gradients; turn a lack of memory into an error that says so."""
        try:
            with self.torch.inference_mode():
                yield
        except self.torch.OutOfMemoryError as error:
            accelerator.release()
            raise MirflowError(
                f"{self.folder}: the GPU has too little memory ({str(error).splitlines()[0]})"
            ) from error

    def close(self) -> None:
        """Free the memory."""
        self.model = self.cache = self.prefix = None
        accelerator.release()

    def encode(self, samples: np.ndarray, answer_tokens: int) -> None:
        """Encode a track: float32 [n] at 16 kHz, at least a second.

        Raises
        ------
        MirflowError : the model's context is too small for it
        """
        self.cache = self.prefix = None
        inputs = self.processor(text=[self.head], audio=[samples], sampling_rate=RATE)
        inputs = inputs.to(self.device)
        tokens = inputs["input_ids"].shape[1]
        needed = tokens + QUESTION_TOKENS + answer_tokens
        if needed > self.context_size:
            raise MirflowError(f"{self.folder}: {needed} tokens are needed, its context has {self.context_size}")
        inputs["input_features"] = inputs["input_features"].to(self.model.dtype)
        inputs.pop("num_audio_tokens", None)
        cache = self.transformers.DynamicCache(config=self.model.config.get_text_config())
        with self._running():
            self.model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        self.encodings += inputs["input_features"].shape[0]
        self.cache, self.prefix = cache, inputs["input_ids"]

    def answer(self, question: str, decoding: Decoding) -> Raw:
        """Answer a question about the track that was encoded last."""
        if self.cache is None:
            raise RuntimeError("no track is encoded")
        tokenizer = self.processor.tokenizer
        # Names of control tokens in the question stay plain text.
        asked = tokenizer(question, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        asked += tokenizer(self.tail, add_special_tokens=False)["input_ids"]
        ids = self.torch.cat([self.prefix, self.torch.tensor([asked], device=self.device)], dim=1)
        if ids.shape[1] + decoding.max_tokens > self.context_size:
            needed = ids.shape[1] + decoding.max_tokens
            raise MirflowError(f"{self.folder}: {needed} tokens are needed, its context has {self.context_size}")
        options = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if decoding.temperature > 0:
            options = {"do_sample": True, "temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
        config = self.transformers.GenerationConfig(
            max_new_tokens=decoding.max_tokens,
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=self.ends,
            pad_token_id=self.pad,
            use_cache=True,
            **options,
        )
        self.torch.manual_seed(decoding.seed)
        try:
            with self._running():
                output = self.model.generate(
                    input_ids=ids,
                    attention_mask=self.torch.ones_like(ids),
                    past_key_values=self.cache,
                    generation_config=config,
                )
        finally:
            self.cache.crop(self.prefix.shape[1] - self.cache.get_seq_length())
        tokens = output[0, ids.shape[1] :].tolist()
        finished = bool(tokens) and tokens[-1] in self.ends
        length = len(tokens) - finished
        return Raw(tokenizer.decode(tokens[:length], skip_special_tokens=False), length, finished)
