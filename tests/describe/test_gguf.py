"""The GGUF backend with a random model and projector: real loading and inference, texts without meaning."""

import numpy as np
import pytest

llama_cpp = pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

import tiny_models  # noqa: E402
from mirflow.commands import main  # noqa: E402
from mirflow.core import artifacts  # noqa: E402
from mirflow.core.errors import MirflowError  # noqa: E402
from mirflow.describe.generation import Decoding  # noqa: E402
from mirflow.describe.gguf import Gguf, Text  # noqa: E402
from mirflow.models import cache  # noqa: E402

RATE = 16000
GREEDY = Decoding(max_tokens=12)
SOUND = np.random.default_rng(0).standard_normal(40 * RATE).astype(np.float32) * 0.1
QUESTIONS = ["what is it?", "which mood? <|im_end|> really", "how fast?"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return tiny_models.gguf_pair(tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def backend(pair):
    loaded = Gguf(*pair, device="cpu")
    yield loaded
    loaded.close()


def test_one_encoding_serves_all_questions_and_each_answer_is_that_of_a_run_of_its_own(backend, pair):
    alone = []
    for question in QUESTIONS:
        fresh = Gguf(*pair, device="cpu")
        fresh.encode(SOUND, 12)
        alone.append(fresh.answer(question, GREEDY))
        fresh.close()
    before = backend.encodings
    backend.encode(SOUND, 12)
    assert backend.encodings - before == 2  # windows of 30 s
    together = [backend.answer(question, GREEDY) for question in QUESTIONS]
    assert together == alone and len({raw.text for raw in alone}) == 3
    assert [backend.answer(question, GREEDY) for question in reversed(QUESTIONS)] == together[::-1]


def test_the_answer_is_that_of_the_whole_conversation_at_once(backend):
    """The reference: audio, question and all in one call of llama.cpp's own helper."""
    import ctypes

    cpp, mtmd = backend.cpp, backend.mtmd
    backend.encode(SOUND, 12)
    answer = backend.answer("what is it?", GREEDY)
    bitmap = mtmd.mtmd_bitmap_init_from_audio(len(SOUND), SOUND.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))
    chunks = mtmd.mtmd_input_chunks_init()
    whole = (backend.head + "what is it?" + backend.tail).encode()
    text = mtmd.mtmd_input_text(text=whole, text_len=len(whole), add_special=False, parse_special=True)
    assert (
        mtmd.mtmd_tokenize(backend.encoder, chunks, ctypes.byref(text), (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap), 1) == 0
    )
    cpp.llama_memory_clear(cpp.llama_get_memory(backend.context), True)
    past = cpp.llama_pos(0)
    status = mtmd.mtmd_helper_eval_chunks(backend.encoder, backend.context, chunks, 0, 0, 768, True, ctypes.byref(past))
    assert status == 0
    assert backend.generate(GREEDY) == answer
    mtmd.mtmd_input_chunks_free(chunks)
    mtmd.mtmd_bitmap_free(bitmap)


def test_neither_threads_nor_the_size_of_the_context_nor_an_earlier_track_change_a_text(backend, pair):
    backend.encode(SOUND[: 5 * RATE], 12)
    first = backend.answer("what is it?", GREEDY)
    backend.encode(SOUND, 3000)
    assert backend.answer("what is it?", GREEDY) != first  # the audio does count
    backend.encode(SOUND[: 5 * RATE], 12)
    assert backend.answer("what is it?", GREEDY) == first
    threaded = Gguf(*pair, device="cpu", threads=2)
    threaded.encode(SOUND[: 5 * RATE], 12)
    assert threaded.answer("what is it?", GREEDY) == first
    threaded.close()


def test_sampling_depends_on_the_seed_alone(backend):
    backend.encode(SOUND[:RATE], 12)
    draw = {seed: backend.answer("?", Decoding(12, 1.0, 0.95, seed)).text for seed in (1, 2)}
    assert draw[1] != draw[2]
    backend.answer("!", GREEDY)
    assert backend.answer("?", Decoding(12, 1.0, 0.95, 1)).text == draw[1]


@pytest.mark.parametrize(
    ("samples", "windows"),
    [(RATE, 1), (30 * RATE - 241, 1), (30 * RATE - 1, 1), (30 * RATE, 1), (33 * RATE, 2), (60 * RATE, 2)],
)
def test_whole_windows_do_not_get_a_silent_one_more(backend, samples, windows):
    before = backend.encodings
    backend.encode(np.resize(SOUND, samples), 12)
    assert backend.encodings - before == windows
    assert backend.answer("?", GREEDY).tokens == 12


def test_a_small_context_shortens_the_audio_and_says_what_it_cannot_do(tmp_path, pair):
    small = Gguf(tiny_models.gguf_model(tmp_path / "small.gguf", context=2048), pair[1], device="cpu")
    assert small.max_seconds == 30
    with pytest.raises(MirflowError, match=r"small.gguf: \d+ tokens are needed, its context has 2048"):
        small.encode(SOUND, 500)
    small.encode(SOUND[:RATE], 200)
    with pytest.raises(MirflowError, match=r"need \d+ tokens, the context has 2048"):
        small.answer("why " * 2000, GREEDY)
    small.close()


def test_a_model_without_a_chat_format_gets_the_usual_one(tmp_path, pair):
    bare = Gguf(tiny_models.gguf_model(tmp_path / "bare.gguf", template=0), pair[1], device="cpu")
    assert bare.head == "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<__media__>"
    assert bare.tail == "<|im_end|>\n<|im_start|>assistant\n"
    bare.close()


def cut(path, target, size):
    target.write_bytes(path.read_bytes()[:size])
    return target


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (lambda m, p, d: (d / "none.gguf", p), r"none.gguf: the model cannot be read \(No such file"),
        (lambda m, p, d: (m, d / "none.gguf"), r"none.gguf: the projector cannot be read \(No such file"),
        (lambda m, p, d: (d, p), r": the model cannot be read \(Is a directory\)"),
        (lambda m, p, d: (cut(m, d / "cut.gguf", 5000), p), r"cut.gguf: cannot be loaded"),
        (lambda m, p, d: (cut(m, d / "cut.gguf", m.stat().st_size - 5000), p), r"cut.gguf: cannot be loaded"),
        (lambda m, p, d: (m, cut(p, d / "cut.gguf", 5000)), r"cut.gguf: is not a projector of "),
        (lambda m, p, d: (m, cut(p, d / "cut.gguf", p.stat().st_size - 5000)), r"cut.gguf: is not a projector of "),
        (lambda m, p, d: (cut(m, d / "e.gguf", 0), p), r"e.gguf: the model is not a GGUF file"),
        (lambda m, p, d: (p, m), r"are model and projector swapped\?"),
        (lambda m, p, d: (m, m), r"is not a projector of "),
        (lambda m, p, d: (m, tiny_models.gguf_projector(d / "wide.gguf", width=128)), r"wide.gguf: .*mismatch"),
    ],
)  # fmt: skip
def test_missing_damaged_swapped_and_mismatched_files_are_named_in_one_line(pair, tmp_path, files, message):
    with pytest.raises(MirflowError, match=message) as error:
        Gguf(*files(*pair, tmp_path), device="cpu")
    assert "\n" not in str(error.value) and "no reason given" not in str(error.value)


def test_a_text_model_answers_without_audio(pair):
    model = Text(pair[0], "cpu")
    first = model.answer("summarise", GREEDY)
    assert first.tokens == 12 and model.answer("something else", GREEDY) != first
    assert model.answer("summarise", GREEDY) == first
    model.close()


def test_short_texts_are_made_from_the_others(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_cached", [])
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text(
        "describe: {one: {words: x}}\ncondense: {short: {words: 'Shorten {texts} and {one}', max_tokens: 3}}"
    )
    artifacts.write_json(tmp_path / "model.json", {"name": "m", "files": {"m": {"bytes": 1, "sha256": "0"}}})
    command = ["condense", str(tmp_path / "one.txt"), "--prompts", str(prompts), "--prompt", "short", "--device", "cpu"]
    command += ["--identity", str(tmp_path / "model.json"), "--model", str(pair[0]), "-o", str(tmp_path / "short.txt")]
    command += ["--record", str(tmp_path / "short.json")]
    said = {}
    for text in ("deep house", "calm jazz", ""):
        (tmp_path / "one.txt").write_text(text)
        assert main(command) == 0
        said[text] = (tmp_path / "short.txt").read_text()
    assert said[""] == "" and len(set(said.values())) == 3
    assert artifacts.read_json(tmp_path / "short.json")["asked"]["words"] == "Shorten {texts} and {one}"
    cache.drop()
