"""The split: nothing that is heard in training is judged, and it stays when the library grows."""

import numpy as np
import pytest

from mirflow.metadata.split import Rule, Track, assign, fold

RULE = Rule(validation=0.2, test=0.1)


def library(count: int, seed: int = 0) -> dict[str, Track]:
    """Return tracks of artists with one to a dozen of them, some with guests, some in groups, some without tags."""
    random = np.random.default_rng(seed)
    found = {}
    for number in range(count):
        artist = f"Artist {int(random.exponential(40))}"
        names = () if number % 11 == 0 else (artist, f"Guest {number}") if number % 13 == 0 else (artist,)
        group = f"group {number // 40}" if number % 40 < 2 else None
        found[f"{number:05}"] = Track(names, (), f"Album {random.integers(3)}", group)
    return found


@pytest.mark.parametrize("by", ["artist", "album", "track"])
def test_no_group_and_no_artist_or_album_crosses(by):
    tracks = library(1500)
    drawn = assign(tracks, Rule(by, 0.2, 0.1), {})

    def splits(unit):
        found = {}
        for track, said in tracks.items():
            for name in unit(said):
                found.setdefault(name, set()).add(drawn[track])
        return found

    assert all(len(one) == 1 for one in splits(lambda said: [said.group] if said.group else []).values())
    if by == "artist":
        assert all(len(one) == 1 for one in splits(lambda said: said.artists).values())
    if by == "album":
        assert all(len(one) == 1 for one in splits(lambda s: [(s.artists, s.album)] if s.artists else []).values())
    if by == "track":
        assert any(len(one) > 1 for one in splits(lambda said: said.artists).values())


@pytest.mark.parametrize("by", ["track", "artist"])
def test_the_shares_are_those_asked_for(by):
    tracks = {str(n): Track((f"Artist {n // 3}",)) for n in range(6000)}
    drawn = list(assign(tracks, Rule(by, 0.2, 0.1), {}).values())
    assert drawn.count("validation") / 6000 == pytest.approx(0.2, abs=0.03)
    assert drawn.count("test") / 6000 == pytest.approx(0.1, abs=0.03)
    assert set(assign(tracks, Rule(by, 0, 0), {}).values()) == {"train"}
    other = list(assign(tracks, Rule(by, 0.2, 0.1, seed=1), {}).values())
    assert 0.5 < np.mean([a == b for a, b in zip(drawn, other, strict=True)]) < 0.65, "0.7² + 0.2² + 0.1²"


def test_it_stays_when_the_library_grows_in_any_order():
    tracks = library(1000)
    order = list(np.random.default_rng(1).permutation(list(tracks)))
    before, past = {}, {}
    for count in (300, 301, 600, 1000):
        known = {track: tracks[track] for track in order[:count]}
        now = assign(known, RULE, before)
        moved = [track for track in before if now[track] != before[track]]
        for track in moved:  # only where a new track has joined what was apart, and never away from training
            assert now[track] == "train" or before[track] == "test"
        assert len(moved) <= 0.1 * len(before)
        past, before = before, now
    assert assign(tracks, RULE, before) == before and past
    assert assign(dict(sorted(tracks.items(), reverse=True)), RULE, {}) == assign(tracks, RULE, {})


def test_without_a_memory_artists_are_drawn_alike_in_any_library():
    tracks = {str(n): Track((f"Artist {n // 5}",)) for n in range(500)}
    few = {track: said for track, said in tracks.items() if int(track) < 200}
    whole = assign(tracks, RULE, {})
    assert assign(few, RULE, {}) == {track: whole[track] for track in few}


def test_a_track_that_joins_does_not_move_the_others_and_training_wins():
    apart = {"a": Track(("A",)), "b": Track(("B",)), **{str(n): Track() for n in range(20)}}
    before = assign(apart, RULE, {}) | {"a": "validation", "b": "train"}
    more = apart | {"a2": Track(("a",)), "copy of a": Track(group="g"), "a": Track(("A",), group="g")}
    assert {assign(more, RULE, before)[track] for track in ("a", "a2", "copy of a")} == {"validation"}
    bridged = assign(more | {"both": Track(("A", "B"))}, RULE, before)
    assert {bridged[track] for track in ("a", "a2", "copy of a", "b", "both")} == {"train"}
    assert all(bridged[track] == before[track] for track in apart if track not in "ab")


def test_the_only_artist_is_trained_on():
    for seed in range(50):
        drawn = assign({str(n): Track(("Me",)) for n in range(10)}, Rule(validation=0.5, seed=seed), {})
        assert set(drawn.values()) == {"train"}


def test_names_are_compared_without_case_accents_and_guests():
    assert fold("BJÖRK (feat. Thom Yorke)") == fold("björk") == "bjork"
    assert fold("Earth, Wind & Fire") == fold("Earth Wind and Fire") and fold("The The") == "the"
    assert fold("Кино") == "кино" and fold("!!!") == "!!!" != fold("???")
    various = {str(n): Track(("Various Artists",)) for n in range(200)}
    assert len(set(assign(various, RULE, {}).values())) == 3, "they are nobody"
