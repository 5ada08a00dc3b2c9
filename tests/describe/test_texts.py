"""Texts: prompts, normalising and checking of answers, conflicts with the measurements, the fragment."""

import unicodedata

import numpy as np
import pytest

from mirflow import features
from mirflow.core import artifacts
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.core.layout import CONFIG
from mirflow.describe import answer_checks, audio_input, conflicts, fragment, generation, normalise, prompts

# --- normalisation

TABLE = {
    "folk\u2011pop": "folk-pop",
    "a\u2010b": "a-b",
    "120\u202fBPM": "120 BPM",
    "track\u2014with": "track--with",
    "120\u2013140": "120-140",
    "song\u2019s \u2018x\u2019": "song's 'x'",
    "\u201cq\u201d": '"q"',
    "wait\u2026": "wait...",
    "no\u00a0break\u2009thin": "no break thin",
    "\ufb01lter": "filter",
    "\uff21": "A",
    "cafe\u0301": "café",
    # NFKC alone damages these
    "\u00bd": "1/2",
    "3\u00bd minutes": "3 1/2 minutes",
    "10\u00b2": "10^2",
    "10\u207b\u00b3": "10^-3",
    "H\u2082O": "H2O",
    "C\u2077 and Cmaj\u2079": "C7 and Cmaj9",
    "\u221214 LUFS": "-14 LUFS",
    "F\u266f minor, B\u266d major, E \u266d": "F# minor, Bb major, Eb",
    "B\u266e": "B natural",
    "Roland\u2122 TR\u2011808": "Roland TR-808",
    "rock\u00b4n\u00b4roll": "rock'n'roll",
    "3\u00d74": "3x4",
    # what cannot be seen
    "zero\u200bwidth\ufeff \u200djoiner": "zerowidth joiner",
    "bell\x07 and\x1b[ \u202eturned": "bell and[ turned",
    "soft\u00adhyphen": "softhyphen",
    "broken\ufffd byte": "broken byte",
    "  two\t spaces \r\n\r\n\nlines  ": "two spaces\nlines",
    "Größe, 東京, Ελλάδα": "Größe, 東京, Ελλάδα",
}


@pytest.mark.parametrize(("text", "expected"), TABLE.items())
def test_characters_become_what_t5_reads_and_keep_their_meaning(text, expected):
    assert normalise.normalise(text) == expected
    assert normalise.normalise(expected) == expected


def test_every_character_of_unicode_normalises_to_something_stable_and_visible():
    for start in range(0, 0x20000, 64):
        text = "a ".join(chr(code) for code in range(start, start + 64))
        once = normalise.normalise(text)
        assert normalise.normalise(once) == once, f"U+{start:04X}"
        assert unicodedata.is_normalized("NFKC", once)
        assert not {unicodedata.category(c) for c in once.replace("\n", "")} & {"Cc", "Cf", "Co", "Cs", "Cn"}
        assert all(c == " " for c in once if unicodedata.category(c) == "Zs")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>fast?</think>Slow house.", "Slow house."),
        ("is it fast? no</think>\n\nSlow house.", "Slow house."),
        ("Slow house.<think>and then it never", "Slow house."),
        ("<think>it never ended", ""),
        ("<think></think>Ok.", "Ok."),
        ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Ok.<|return|>", "Ok."),
        ("<|start_of_role|>assistant<|end_of_role|>Slow house.<|end_of_text|>", "Slow house."),
        ("<|im_start|>assistant\nSlow house.<|im_end|></s>", "Slow house."),
        ("tempo < 120 and > 90, a <b>", "tempo < 120 and > 90, a <b>"),
    ],
)  # fmt: skip
def test_reasoning_and_control_tokens_are_no_part_of_an_answer(text, expected):
    assert normalise.strip_structure(text) == expected


# --- checks of answers

GOOD = (
    "This track is a deep house production at 122 bpm in A minor. A four-on-the-floor kick carries the groove, a warm "
    "sub bass answers it on the off-beat, and filtered piano chords open up slowly over sixteen bars. The vocal is a "
    "single repeated phrase, soaked in plate reverb. The mood is nocturnal, calm and slightly melancholic."
)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "Deep house, warm and nocturnal",
        "Kick, snare, hi-hat, bass, piano, pad, vocal, shaker, clap",
        "verse, chorus, verse, chorus, bridge, chorus",
        "The singer repeats the words la la la la over and over again while the band goes quiet.",
        "I hear a piano. I cannot make out the words, but the voice is soft.",
        "短い曲、静かなピアノ",
    ],
)
def test_good_answers_pass(text):
    assert answer_checks.problem(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("... 12 !", "empty"),
        ("I'm sorry, but I cannot listen to audio.", "refusal"),
        ("I\u2019m unable to process sound.", "refusal"),
        ("As an AI language model I have no ears.", "refusal"),
        ("Please provide the audio file.", "refusal"),
        ("There is no audio attached.", "refusal"),
        ("Warm pads" + "!" * 30, "30 times in a row"),
        ("house house house house house", "1 different"),
        (GOOD + " The beat goes on" * 6, "repeats itself"),
        ("The track is calm and then " + "drums and bass, " * 40, "repeats itself"),
        (" ".join(f"The synth {how} plays the same melody as before." for how in "abcd"), "repeats itself"),
    ],
)  # fmt: skip
def test_useless_answers_are_named(text, reason):
    assert reason in answer_checks.problem(text)


# --- prompts

FIVE = ["full", "technical", "genre_mood", "instrumentation", "structure"]


def write(tmp_path, text):
    path = tmp_path / "prompts.yaml"
    path.write_text(text)
    return path


def test_the_projects_prompts_are_the_five_and_three_that_condense_them():
    path = CONFIG / "prompts.yaml"
    assert list(prompts.load(path)) == FIVE
    assert list(prompts.load(path, "condense")) == ["short_technical", "short_mood", "short_genre"]
    assert all(not prompt.placeholders for prompt in prompts.load(path).values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("describe: {full: {words: x, token: 3}}", "words and max_tokens are expected"),
        ("describe: {full: {max_tokens: 3}}", "has no words"),
        ("describe: {full: {words: x, max_tokens: 0}}", "max_tokens must be"),
        ("describe: {Full!: {words: x}}", "a name has only"),
        ("describe: {model: {words: x}}", "a name has only"),
        ("describe: {a: {words: 'at {bmp}'}}", r"\{bmp\} is none of \{bpm\}, \{key\}"),
        ("describe: {a: {words: 'at {bpm'}}", "braces"),
        ("describe: {a: {words: 'at {bpm.x}'}}", "braces|none of"),
        ("describe: {a: {words: 'at {}'}}", "braces"),
        ("describe: {a: {words: x}}\ncondense: {a: {words: y}}", None),
        ("descrbe: {}", "sections"),
        ("a: [", "not valid YAML"),
    ],
)
def test_what_is_wrong_with_the_prompts_is_named_in_one_line(tmp_path, text, message):
    path = write(tmp_path, text)
    section = "condense" if message is None else "describe"
    with pytest.raises(MirflowError, match=message or "already") as error:
        prompts.load(path, section)
    assert "prompts.yaml" in str(error.value) and "\n" not in str(error.value)


def test_hints_say_what_was_measured_with_its_uncertainty(tmp_path):
    path = write(
        tmp_path, "describe: {a: {words: 'Given that {bpm} and {key}, and {loudness}: {{describe}} it. {bpm}!'}}"
    )
    prompt = prompts.load(path)["a"]
    assert prompts.owners(prompt, features.of_modules()) == ("tempo", "tonality", "loudness")
    fragment = tmp_path / "f.json"
    values = {
        "bpm": 120.44,
        "beat_regularity": 0.97,
        "tonic": 9,
        "tonic_scale": "minor",
        "tonic_strength": 0.8,
        "lufs": -9.96,
    }
    artifacts.write_json(fragment, values)
    assert prompt.fill(prompts.hints(prompt, [fragment])) == (
        "Given that the measured tempo is 120.4 bpm (97% of the beats are regular) and the measured key is A minor (it "
        "fits to 80%), and the measured loudness is -10.0 LUFS: {describe} it. the measured tempo is 120.4 bpm (97% of "
        "the beats are regular)!"
    )
    artifacts.write_json(fragment, dict.fromkeys(values))
    assert prompts.hints(prompt, [fragment])["key"] == "no key could be measured"
    artifacts.write_json(fragment, {"bpm": 1.0})
    with pytest.raises(MirflowError, match="beat_regularity"):
        prompts.hints(prompt, [fragment])


def test_genres_are_the_five_likeliest_with_two_decimals(tmp_path):
    prompt = prompts.Prompt("a", "{genres}")
    fragment = tmp_path / "f.json"
    artifacts.write_json(
        fragment, {"essentia_genre": {"House": 0.512, "Techno": 0.7, **{f"g{i}": 0.1 for i in range(6)}}}
    )
    said = prompts.hints(prompt, [fragment])["genres"]
    assert said == "the likeliest genres are Techno (0.70), House (0.51), g0 (0.10), g1 (0.10), g2 (0.10)"
    with pytest.raises(MirflowError, match=r"\{genres\} needs essentia_genre"):
        prompts.owners(
            prompt, tuple(f for f in features.of_modules() if "essentia_genre" not in {x.key for x in f.fields})
        )


def test_a_change_of_the_question_changes_its_identity():
    one = prompts.Prompt("a", "x").identity
    assert one == prompts.Prompt("b", "x").identity  # the name is no part of what is asked
    assert len({one, prompts.Prompt("a", "y").identity, prompts.Prompt("a", "x", 5).identity}) == 3


# --- conflicts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 120 BPM", [(120, 120)]),
        ("a tempo of around 98.5 bpm", [(98.5, 98.5)]),
        ("120-124 bpm", [(120, 124)]),
        ("between 120 and 124 beats per minute", [(120, 124)]),
        ("Tempo: 90", [(90, 90)]),
        ("BPM: 128, key", [(128, 128)]),
        ("a 128-bpm loop, later 64 bpm", [(128, 128), (64, 64)]),
        ("a tempo marking of 4/4, 16 bars, the 80s, TR-808", []),
        ("mid-tempo 808 drums", []),
    ],
)
def test_tempos_that_a_text_names(text, expected):
    assert conflicts.tempos(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in A minor", [(9, "minor")]),
        ("The key is F# minor.", [(6, "minor")]),
        ("Key: Bb major", [(10, "major")]),
        ("in the key of E-flat major", [(3, "major")]),
        ("in C sharp minor", [(1, "minor")]),
        ("key of Cb major", [(11, "major")]),
        ("it is in a minor key", []),
        ("A minor change in texture", []),
        ("in A major shift of mood", []),
        ("the chords Am, F, C and G; a D minor chord", []),
        ("starts in A minor, ends in C major", [(9, "minor"), (0, "major")]),
    ],
)
def test_keys_that_a_text_names(text, expected):
    assert conflicts.keys(text) == expected


MEASURED = {"bpm": 120.0, "tonic": 9, "tonic_scale": "minor", "tonic_strength": 0.8}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("120 bpm in A minor", []),
        ("calm piano", []),
        ("60 bpm in C major", []),  # half tempo, relative key
        ("124 bpm", []),  # within 4 %
        ("118 to 126 bpm", []),
        ("at 140 bpm", ["tempo: the text says 140 bpm, measured 120.0"]),
        ("from 90 to 95 bpm", ["tempo: the text says 90 to 95 bpm, measured 120.0"]),
        ("in A major", ["key: the text says A major, measured A minor"]),
        ("150 bpm in Eb major", [
            "tempo: the text says 150 bpm, measured 120.0", "key: the text says Eb major, measured A minor"]),
        ("begins in D minor and ends in A minor", []),
    ],
)  # fmt: skip
def test_plain_contradictions_are_found(text, said):
    assert conflicts.find(text, MEASURED) == said


def test_what_is_unknown_or_a_guess_contradicts_nothing():
    undefined = dict.fromkeys(MEASURED)
    assert conflicts.find("140 bpm in Eb major", undefined) == []
    assert conflicts.find("in Eb major", MEASURED | {"tonic_strength": 0.5}) == []
    assert not conflicts.comparable(undefined) and conflicts.comparable(MEASURED)


# --- the audio that a model gets


def noise(seconds, rate=44100, channels=2):
    return Audio(
        np.random.default_rng(0).standard_normal((channels, round(seconds * rate))).astype(np.float32) * 0.1, rate
    )


def test_the_audio_is_mono_at_16_khz_and_never_shorter_than_a_second():
    assert len(audio_input.prepare(noise(10), 600).samples) == 160000
    sides = np.stack([np.ones(44100), np.zeros(44100)]).astype(np.float32)
    assert np.median(audio_input.prepare(Audio(sides, 44100), 600).samples) == pytest.approx(0.5, abs=1e-3)
    tiny = audio_input.prepare(noise(1 / 44100), 600)
    assert len(tiny.samples) == 16000 and tiny.seconds == pytest.approx(1 / 44100) and not tiny.silent


def test_what_the_model_cannot_take_is_cut_off_and_said():
    found = audio_input.prepare(noise(65, 8000), 60)
    assert (len(found.samples), found.seconds, found.cut_off, found.windows) == (960000, 60, 5, 2)
    assert audio_input.prepare(noise(59, 8000), 60).cut_off == 0


@pytest.mark.parametrize(("seconds", "windows"), [(0.3, 1), (30, 1), (30.05, 1), (30.2, 2), (60, 2), (60.01, 2)])
def test_a_window_of_nearly_nothing_is_left_out(seconds, windows):
    found = audio_input.prepare(noise(seconds, 8000), 600)
    assert found.windows == windows
    assert found.seconds + found.cut_off == pytest.approx(seconds) and 0 <= found.cut_off < 0.1


def test_broken_audio_is_refused_and_silence_is_noticed():
    with pytest.raises(ValueError, match="the audio is empty"):
        audio_input.prepare(Audio(np.zeros((2, 0), np.float32), 44100), 600)
    for broken in (np.nan, np.inf):
        audio = noise(2)
        audio.samples[1, 44100] = broken
        with pytest.raises(ValueError, match=r"no number, at 1\.000 s"):
            audio_input.prepare(audio, 600)
    assert audio_input.prepare(Audio(np.zeros((2, 44100), np.float32), 44100), 600).silent


# --- asking


class Parrot:
    """Says what it was told to, one after the other."""

    def __init__(self, *texts):
        self.texts, self.asked = list(texts), []

    def answer(self, question, decoding):
        self.asked.append(decoding)
        return generation.Raw(self.texts.pop(0), 5, True)


def test_a_useless_answer_is_asked_for_once_more_and_never_greedily():
    parrot = Parrot("", "<think>hm</think>Deep house")
    said = generation.ask(parrot, "?", generation.Decoding(9))
    assert said.text == "Deep house" and said.retried == "empty"
    assert [(d.temperature > 0, d.seed, d.max_tokens) for d in parrot.asked] == [(False, 0, 9), (True, 1, 9)]
    drawn = Parrot("no no no no no", "Deep house")
    assert generation.ask(drawn, "?", generation.Decoding(9, 0.3, 0.8, 7)).decoding == generation.Decoding(
        9, 0.3, 0.8, 8
    )
    with pytest.raises(MirflowError, match="twice: first empty; then a refusal"):
        generation.ask(Parrot("", "I'm sorry, no"), "?", generation.Decoding(9))


# --- the fragment

FILES = {"music-flamingo-hf.Q8_0.gguf": {"bytes": 1, "sha256": "ab"}, "p.gguf": {"bytes": 1, "sha256": "cd"}}
MODEL = {"name": "music-flamingo-hf.Q8_0", "files": FILES}


def record(**more):
    asked = {"words": "?", "decoding": {"seed": 0}, "model": MODEL, "backend": "gguf"}
    return {"asked": asked, "backend": "llama-cpp-python", "heard_seconds": 600.0, "cut_off_seconds": 5.0, **more}


def test_the_fragment_holds_texts_conflicts_and_how_they_came_about():
    texts = {"full": "House at 140 bpm", "mood": "Calm"}
    records = {"full": record(decoding={"seed": 0}, retried="empty"), "mood": record(decoding={"seed": 0})}
    content = fragment.assemble(texts, records, MODEL, MEASURED)
    assert content["music_flamingo_full"] == "House at 140 bpm"
    assert content["music_flamingo_model"] == "music-flamingo-hf.Q8_0"
    assert content["music_flamingo_conflicts"] == {"full": ["tempo: the text says 140 bpm, measured 120.0"]}
    origin = content["_provenance"]
    assert (origin["feature"], origin["heard_seconds"], origin["cut_off_seconds"]) == ("music_flamingo", 600, 5)
    assert origin["model"] == {"music-flamingo-hf.Q8_0.gguf": "ab", "p.gguf": "cd"}
    assert origin["texts"]["full"] == {"question": "?", "decoding": {"seed": 0}, "retried": "empty"}


def test_nothing_to_compare_is_not_no_conflict():
    texts, records = {"full": "House at 140 bpm"}, {"full": record()}
    assert fragment.assemble(texts, records, MODEL, dict.fromkeys(MEASURED))["music_flamingo_conflicts"] is None
    assert fragment.assemble({"full": "House"}, records, MODEL, MEASURED)["music_flamingo_conflicts"] == {}
    assert "music_flamingo_conflicts" not in fragment.assemble(texts, records, MODEL, None)
    silent = fragment.assemble({"full": ""}, {"full": record(reason="the track is silent")}, MODEL, MEASURED)
    assert silent["music_flamingo_full"] is None and silent["music_flamingo_conflicts"] is None
    assert silent["_provenance"]["reason"] == "the track is silent"


def test_tokens_of_t5_are_counted(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    counter = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    counter.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    counter.save(str(tmp_path / "tokenizer.json"))
    content = fragment.assemble({"full": "a b c"}, {"full": record()}, MODEL, None, tmp_path / "tokenizer.json")
    assert content["_provenance"]["texts"]["full"]["t5_tokens"] == 3
    with pytest.raises(MirflowError, match=r"nothing\.json: is not a tokenizer.json"):
        fragment.t5_tokens(tmp_path / "nothing.json", {})
