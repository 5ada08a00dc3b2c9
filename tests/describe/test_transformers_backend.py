"""The transformers backend with random checkpoints: real loading and inference, texts without meaning."""

import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import tiny_models  # noqa: E402
from mirflow.core.errors import MirflowError  # noqa: E402
from mirflow.describe.generation import Decoding  # noqa: E402
from mirflow.describe.transformers_backend import Transformers  # noqa: E402

RATE = 16000
GREEDY = Decoding(max_tokens=12)
SOUND = np.random.default_rng(0).standard_normal(40 * RATE).astype(np.float32) * 0.1


@pytest.fixture(scope="module", params=["audioflamingo3", "musicflamingo"])
def backend(request, tmp_path_factory):
    loaded = Transformers(tiny_models.transformers_folder(tmp_path_factory.mktemp("m") / "m", request.param), "cpu")
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_models.transformers_folder(tmp_path_factory.mktemp("m") / "m")


def test_one_encoding_serves_all_questions_and_each_answer_is_that_of_a_run_of_its_own(backend):
    questions = ["what is it?", "which mood? <|im_end|> really", "how fast?"]
    alone = []
    for question in questions:
        backend.encode(SOUND, 12)
        alone.append(backend.answer(question, GREEDY))
    before = backend.encodings
    backend.encode(SOUND, 12)
    assert backend.encodings - before == 2  # windows of 30 s
    together = [backend.answer(question, GREEDY) for question in questions]
    assert together == alone and len({raw.text for raw in alone}) == 3
    assert [backend.answer(question, GREEDY) for question in reversed(questions)] == together[::-1]


def test_the_answer_is_that_of_generate_on_the_whole_conversation(backend):
    """The reference: the library's own way, audio and question at once, without our cache."""
    question = "what is it?"
    text = backend.head + question + backend.tail
    inputs = backend.processor(text=[text], audio=[SOUND], sampling_rate=RATE)
    inputs["input_features"] = inputs["input_features"].to(backend.model.dtype)
    inputs.pop("num_audio_tokens", None)
    backend.model.float()
    try:
        inputs["input_features"] = inputs["input_features"].float()
        with torch.inference_mode():
            output = backend.model.generate(**inputs, max_new_tokens=12, do_sample=False)
        said = backend.processor.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :])
        backend.encode(SOUND, 12)
        assert backend.answer(question, GREEDY).text == said.removesuffix("<|im_end|>")
    finally:
        backend.model.to(torch.bfloat16)


def test_the_answer_depends_on_the_audio(backend):
    backend.encode(SOUND, 12)
    one = backend.answer("what is it?", GREEDY)
    backend.encode(SOUND[: 5 * RATE] ** 2, 12)
    assert backend.answer("what is it?", GREEDY).text != one.text


def test_sampling_depends_on_the_seed_alone(backend):
    backend.encode(SOUND[:RATE], 12)
    draw = {seed: backend.answer("?", Decoding(12, 1.0, 0.95, seed)).text for seed in (1, 2)}
    assert draw[1] != draw[2]
    backend.answer("!", GREEDY)
    assert backend.answer("?", Decoding(12, 1.0, 0.95, 1)).text == draw[1]


@pytest.mark.parametrize("seconds", [1, 29.9, 30, 60, 60.1])
def test_lengths_around_a_window(backend, seconds):
    before = backend.encodings
    backend.encode(np.resize(SOUND, int(seconds * RATE)), 12)
    assert backend.encodings - before == -(-seconds // 30)
    assert backend.answer("?", GREEDY).tokens == 12


def test_a_context_too_small_is_said(tmp_path):
    small = Transformers(tiny_models.transformers_folder(tmp_path / "m", context=1500), "cpu")
    with pytest.raises(MirflowError, match=r"tokens are needed, its context has 1500"):
        small.encode(SOUND, 12)


def test_short_memory_is_said_and_the_next_question_is_answered(backend, monkeypatch):
    backend.encode(SOUND[:RATE], 12)
    before = backend.answer("?", GREEDY)

    def short(**_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    with monkeypatch.context() as patch:
        patch.setattr(backend.model, "generate", short)
        with pytest.raises(MirflowError, match=r"too little memory \(CUDA out of memory. Tried to allocate 2 GiB.\)"):
            backend.answer("?", GREEDY)
    assert backend.answer("?", GREEDY) == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "qwen2"}'), "a model of type qwen2"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}  "), "cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "its tokenizer does not belong"),
        (lambda folder: drop_weight(folder), "1 weights are missing from its files, model.multi_modal_projector"),
    ],
)
def test_a_damaged_folder_is_named_in_one_line(folder, tmp_path, damage, message):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    damage(broken)
    with pytest.raises(MirflowError, match=message) as error:
        Transformers(broken, "cpu")
    assert str(broken) in str(error.value) and "\n" not in str(error.value)


def drop_weight(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights[next(key for key in weights if "multi_modal_projector" in key and key.endswith("bias"))]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
