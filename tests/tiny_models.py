"""Tiny models with random weights in the formats of the real ones: they load and run alike, but talk nonsense."""

import json
from pathlib import Path

import numpy as np

SEED = 1
WHISPER = 0.25  # how much the layers add to a token: enough to have an effect, too little to hide the next token
WORDS = """bass drum snare piano guitar violin flute warm bright slow fast deep house techno jazz folk minor major chord
melody rhythm verse chorus bridge vocal choir string brass pad lead soft loud wide dry echo calm dark happy sad
lazy""".split()
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'audio' %}<sound>{% endif %}{% endfor %}"
    "{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<sound>", "<|sound_bos|>", "<|sound_eos|>"]


def byte_symbols() -> list[str]:
    """Return the 256 symbols by which byte-level tokenizers (GPT-2 and later) write bytes."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in kept else next(others)) for byte in range(256)]


def vocabulary() -> tuple[list[str], list[str]]:
    """Return tokens and merges of a tokenizer over bytes whose longer tokens are `WORDS`, each with a space before."""
    tokens, merges = byte_symbols(), []
    for word in WORDS:
        so_far = "Ġ"
        for letter in word:
            if so_far + letter not in tokens:
                tokens.append(so_far + letter)
                merges.append(f"{so_far} {letter}")
            so_far += letter
    return tokens, merges


def say_words(output: np.ndarray, embedding: np.ndarray, tokens: list[str]) -> None:
    """Make a model generate whole words, mostly each another one after the last, so that it does not loop at once.

    Parameters
    ----------
    output, embedding : weights [token, width], the first is changed
    """
    words = [index for index, token in enumerate(tokens) if token.removeprefix("Ġ") in WORDS and token[0] == "Ġ"]
    output *= 0.02
    order = np.random.default_rng(SEED).permutation(words)
    for word, after in zip(order, np.roll(order, -1), strict=True):
        output[after] = 3 * embedding[word] / np.linalg.norm(embedding[word])


def transformers_folder(folder: Path, model_type: str = "audioflamingo3", **sizes: int) -> Path:
    """Save a random checkpoint for transformers."""
    import torch
    import transformers

    width, layers = sizes.get("width", 64), sizes.get("layers", 2)
    encoder_width, encoder_layers = sizes.get("encoder_width", 32), sizes.get("encoder_layers", 2)
    tokens, merges = vocabulary()
    folder.mkdir(parents=True)
    raw = folder / "raw"
    raw.mkdir()
    (raw / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (raw / "merges.txt").write_text("\n".join(merges))
    tokenizer = transformers.Qwen2Tokenizer(
        vocab=str(raw / "vocab.json"), merges=str(raw / "merges.txt"), eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL}
    size = len(tokenizer)
    audio = {
        "model_type": "audioflamingo3_encoder",
        "hidden_size": encoder_width,
        "num_hidden_layers": encoder_layers,
        "num_attention_heads": 4,
        "intermediate_size": 2 * encoder_width,
        "initializer_range": 0.2,
    }
    text = {
        "model_type": "qwen2",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 2 * width,
        "vocab_size": size,
        "max_position_embeddings": sizes.get("context", 32768),
        "initializer_range": 0.3,
    }
    common = {"audio_config": audio, "text_config": text, "audio_token_id": ids["<sound>"]}
    extractor = transformers.WhisperFeatureExtractor(feature_size=128)
    torch.manual_seed(SEED)
    if model_type == "audioflamingo3":
        config = transformers.AudioFlamingo3Config(**common)
        model = transformers.AudioFlamingo3ForConditionalGeneration(config)
        processor = transformers.AudioFlamingo3Processor(extractor, tokenizer, chat_template=CHAT)
    else:
        rope = {"rope_type": "default", "rope_theta": 1200.0, "partial_rotary_factor": 0.2}
        config = transformers.MusicFlamingoConfig(
            **common,
            rope_parameters=rope,
            audio_bos_token_id=ids["<|sound_bos|>"],
            audio_eos_token_id=ids["<|sound_eos|>"],
        )
        model = transformers.MusicFlamingoForConditionalGeneration(config)
        processor = transformers.MusicFlamingoProcessor(extractor, tokenizer, chat_template=CHAT)
    with torch.no_grad():
        for layer in model.model.language_model.layers:
            layer.self_attn.o_proj.weight *= WHISPER
            layer.mlp.down_proj.weight *= WHISPER
        head = model.lm_head.weight.numpy()
        embedding = model.get_input_embeddings().weight.numpy()
        say_words(head, embedding, tokenizer.convert_ids_to_tokens(range(size)))
    model.generation_config = transformers.GenerationConfig(
        do_sample=True, temperature=0.7, eos_token_id=ids["<|im_end|>"]
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)
    for file in raw.iterdir():
        file.unlink()
    raw.rmdir()
    return folder


def gguf_pair(folder: Path, **sizes: int) -> tuple[Path, Path]:
    """Write a random language model and its projector as GGUF files."""
    return gguf_model(folder / "tiny.Q8_0.gguf", **sizes), gguf_projector(folder / "tiny.mmproj-f16.gguf", **sizes)


def gguf_model(path: Path, **sizes: int) -> Path:
    """Write a random language model (qwen2) as a GGUF file."""
    import gguf

    width, layers, heads = sizes.get("width", 64), sizes.get("layers", 2), 4
    rng = np.random.default_rng(SEED)

    def random(*shape: int, scale: float = 0.3) -> np.ndarray:
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    tokens, merges = vocabulary()
    plain = len(tokens)
    tokens += SPECIAL
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name("tiny")
    writer.add_block_count(layers)
    writer.add_context_length(sizes.get("context", 32768))
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads // 2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * plain + [gguf.TokenType.CONTROL] * len(SPECIAL))
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    if sizes.get("template", 1):
        writer.add_chat_template(CHAT)
    embedding, output = random(len(tokens), width), random(len(tokens), width)
    say_words(output, embedding, tokens)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for layer in range(layers):
        block = f"blk.{layer}"
        writer.add_tensor(f"{block}.attn_norm.weight", np.ones(width, np.float32))
        writer.add_tensor(f"{block}.ffn_norm.weight", np.ones(width, np.float32))
        for name, rows in (("attn_q", width), ("attn_k", width // 2), ("attn_v", width // 2)):
            writer.add_tensor(f"{block}.{name}.weight", random(rows, width))
            writer.add_tensor(f"{block}.{name}.bias", random(rows))
        writer.add_tensor(f"{block}.attn_output.weight", random(width, width) * np.float32(WHISPER))
        writer.add_tensor(f"{block}.ffn_gate.weight", random(2 * width, width))
        writer.add_tensor(f"{block}.ffn_up.weight", random(2 * width, width))
        writer.add_tensor(f"{block}.ffn_down.weight", random(width, 2 * width) * np.float32(WHISPER))
    return _write(writer, path)


def gguf_projector(path: Path, **sizes: int) -> Path:
    """Write a random encoder of sound and its projection to a language model as a GGUF file."""
    import gguf

    width, encoder_width, encoder_layers = (
        sizes.get("width", 64),
        sizes.get("encoder_width", 32),
        sizes.get("encoder_layers", 2),
    )
    rng = np.random.default_rng(SEED + 1)

    def random(*shape: int, kind: type = np.float32) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.2).astype(kind)

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_name("tiny projector")
    writer.add_bool("clip.has_audio_encoder", True)
    writer.add_bool("clip.has_vision_encoder", False)
    writer.add_string("clip.projector_type", "musicflamingo")
    writer.add_bool("clip.use_gelu", True)
    for key, value in {
        "embedding_length": encoder_width,
        "feed_forward_length": 2 * encoder_width,
        "block_count": encoder_layers,
        "projection_dim": width,
        "attention.head_count": 4,
        "num_mel_bins": 128,
    }.items():
        writer.add_uint32(f"clip.audio.{key}", value)
    writer.add_float32("clip.audio.attention.layer_norm_epsilon", 1e-5)
    writer.add_tensor("a.position_embd.weight", random(1500, encoder_width))
    writer.add_tensor("a.conv1d.1.weight", random(encoder_width, 128, 3, kind=np.float16))
    writer.add_tensor("a.conv1d.2.weight", random(encoder_width, encoder_width, 3, kind=np.float16))
    for layer in (1, 2):
        writer.add_tensor(f"a.conv1d.{layer}.bias", random(encoder_width, 1))
    for layer in range(encoder_layers):
        block = f"a.blk.{layer}"
        for name in ("ln1", "ln2"):
            writer.add_tensor(f"{block}.{name}.weight", np.ones(encoder_width, np.float32))
            writer.add_tensor(f"{block}.{name}.bias", np.zeros(encoder_width, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            writer.add_tensor(f"{block}.{name}.weight", random(encoder_width, encoder_width))
            if name != "attn_k":
                writer.add_tensor(f"{block}.{name}.bias", random(encoder_width))
        writer.add_tensor(f"{block}.ffn_up.weight", random(2 * encoder_width, encoder_width))
        writer.add_tensor(f"{block}.ffn_up.bias", random(2 * encoder_width))
        writer.add_tensor(f"{block}.ffn_down.weight", random(encoder_width, 2 * encoder_width))
        writer.add_tensor(f"{block}.ffn_down.bias", random(encoder_width))
    writer.add_tensor("a.post_ln.weight", np.ones(encoder_width, np.float32))
    writer.add_tensor("a.post_ln.bias", np.zeros(encoder_width, np.float32))
    writer.add_tensor("mm.a.mlp.1.weight", random(width, encoder_width))
    writer.add_tensor("mm.a.mlp.1.bias", random(width))
    writer.add_tensor("mm.a.mlp.2.weight", random(width, width))
    writer.add_tensor("mm.a.mlp.2.bias", random(width))
    return _write(writer, path)


def _write(writer, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
