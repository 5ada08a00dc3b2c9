"""Look-ups: nothing is guessed, nobody is asked twice or too often, and what goes wrong is not kept."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

import loopback
from conftest import jobs, run_snakemake, write
from loopback import Answer
from mirflow import features
from mirflow.core import layout
from mirflow.core.errors import MirflowError
from mirflow.metadata import lookup, services
from mirflow.metadata.services import Services
from mirflow.workflow import settings


def mbid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def recording(
    number: int = 1,
    title: str = "Song",
    artist: str = "Björk",
    seconds: float | None = 200.0,
    album: int = 1,
    isrcs: tuple = (),
) -> dict:
    release = {"id": mbid(100 + album), "title": f"Album {album}", "date": "1999-05-03", "status": "Official",
               "release-group": {"id": mbid(200 + album)}}  # fmt: skip
    length = None if seconds is None else int(seconds * 1000)
    return {"id": mbid(number), "title": title, "length": length, "releases": [release], "isrcs": list(isrcs),
            "artist-credit": [{"name": artist, "joinphrase": ""}], "genres": [{"name": "art pop", "count": 3}],
            }  # fmt: skip


class Known:
    """Both services, in place: what they know, and what they were asked."""

    def __init__(
        self, *known: dict, listed: list[dict] | None = None, isrc: dict | None = None, heard: list | None = None
    ):
        self.known = {f"recording/{one['id']}": one for one in known}
        self.listed, self.isrc, self.heard, self.asked = listed or [], isrc or {}, heard or [], []

    def musicbrainz(self, path: str, **query: str) -> dict | None:
        self.asked.append(path)
        if path == "recording":
            return {"recordings": self.listed}
        if path.startswith("isrc/"):
            return {"recordings": self.isrc[path[5:]]} if path[5:] in self.isrc else None
        return {"label-info": [{"label": {"name": "Label"}}]} if path.startswith("release/") else self.known.get(path)

    def acoustid(self, fingerprint: str, duration: float) -> dict:
        self.asked.append("acoustid")
        return {"status": "ok", "results": self.heard}


def heard(*numbers: int, score: float = 0.95) -> dict:
    return {"id": "acoustid", "score": score, "recordings": [{"id": mbid(number)} for number in numbers]}


TAGS = {"_artists": ["Björk"], "track_metadata_title": "Song"}
TAGGED = TAGS | {"track_metadata_musicbrainz_id": mbid(1)}
CODED = TAGS | {"track_metadata_isrc": "ISA470012345"}
ONE, OTHER = recording(1), recording(2, album=2)
CASES = {
    "an identifier in the tags": (TAGGED, Known(ONE), mbid(1), "musicbrainz_id in the tags"),
    "an identifier that nobody knows": (TAGGED, Known(listed=[]), None, None),
    "an unknown identifier, then a search": (TAGGED | {"track_metadata_musicbrainz_id": mbid(9)},
                                             Known(ONE, listed=[ONE]), mbid(1), "search"),
    "an ISRC": (CODED, Known(ONE, isrc={"ISA470012345": [ONE]}), mbid(1), "isrc in the tags"),
    "an ISRC of two recordings": (CODED, Known(ONE, OTHER, isrc={"ISA470012345": [ONE, OTHER]}), None, None),
    "a sound": ({}, Known(ONE, heard=[heard(1)]), mbid(1), "acoustid"),
    "a sound, twice the same": ({}, Known(ONE, heard=[heard(1), heard(1, score=0.92)]), mbid(1), "acoustid"),
    "a sound that is not certain": ({}, Known(ONE, heard=[heard(1, score=0.89)]), None, None),
    "a sound of two recordings": ({}, Known(ONE, OTHER, heard=[heard(1, 2)]), None, None),
    "artist and title": (TAGS, Known(ONE, listed=[ONE]), mbid(1), "search"),
    "another spelling": ({"_artists": ["BJORK"], "track_metadata_title": "SONG"}, Known(ONE, listed=[ONE]), mbid(1),
                         "search"),
    "a remastered one": ({"_artists": ["Björk"], "track_metadata_title": "Song (Remastered 2009)"},
                         Known(ONE, listed=[ONE]), mbid(1), "search"),
    "a live one": ({"_artists": ["Björk"], "track_metadata_title": "Song (Live)"}, Known(ONE, listed=[ONE]), None,
                   None),
    "another title": (TAGS, Known(ONE, listed=[recording(1, title="Song II")]), None, None),
    "another artist": (TAGS, Known(ONE, listed=[recording(1, artist="Bjork Trio")]), None, None),
    "another duration": (TAGS, Known(ONE, listed=[recording(1, seconds=203.2)]), None, None),
    "no duration": (TAGS, Known(ONE, listed=[recording(1, seconds=None)]), None, None),
    "two recordings": (TAGS, Known(ONE, OTHER, listed=[ONE, OTHER]), None, None),
    "two on one album": (TAGS, Known(ONE, listed=[recording(2), ONE]), mbid(1), "search"),
    "two with one ISRC": (TAGS, Known(ONE, listed=[recording(1, isrcs=("X",)), recording(2, album=2, isrcs=("X",))]),
                          mbid(1), "search"),
    "no tags": ({}, Known(ONE, listed=[ONE]), None, None),
    "nonsense": (TAGS, Known(listed=[{"id": 3}, {"title": "Song", "id": "x", "length": "long"}, 7]), None, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_only_what_is_certain_counts(case):
    said, known, expected, source = CASES[case]
    fragment = lookup.look_up(said, {"_fingerprint": "AQAA"}, 200.0, known, by_sound=True)
    assert (fragment["musicbrainz_id"], fragment["metadata_source"]) == (expected, source)
    assert set(lookup.KEYS) < set(fragment) and json.dumps(fragment)
    if expected:
        assert fragment["release_year"] == 1999 and fragment["release_date"] == "1999-05-03"
        assert fragment["artists"] == ["Björk"] and fragment["album"] == "Album 1" and fragment["label"] == "Label"
        assert fragment["genres"] == ["art pop"] and fragment["acoustid_id"] == (
            (source == "acoustid" and "acoustid") or None
        )
    else:
        assert {fragment[key] for key in lookup.KEYS} == {None}


def test_candidates_stay_and_acoustid_is_asked_only_if_wanted():
    known = Known(ONE, OTHER, listed=[ONE, OTHER])
    fragment = lookup.look_up(TAGS, {"_fingerprint": "AQAA"}, 200.0, known, by_sound=False)
    assert [one["id"] for one in fragment["_candidates"]] == [mbid(1), mbid(2)] and "acoustid" not in known.asked


@pytest.fixture
def web(monkeypatch, tmp_path):
    """Both services on this machine, and a clock that does not wait."""
    with loopback.serving() as server:
        server.do_post = True
        monkeypatch.setenv("MIRFLOW_MUSICBRAINZ_URL", server.address)
        monkeypatch.setenv("MIRFLOW_ACOUSTID_URL", server.address)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
        monkeypatch.setenv(services.CONTACT, "me@example.org")
        monkeypatch.setattr(loopback.Handler, "do_POST", post, raising=False)
        yield server


def post(handler) -> None:
    """Answer what is posted to AcoustID; the form goes to `server.posted`."""
    form = parse_qs(handler.rfile.read(int(handler.headers["Content-Length"])).decode())
    handler.server.posted = form
    handler.do_GET()


class Clock:
    """A time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.time, self.waited = 1_000_000.0, []

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.time += seconds

    def now(self) -> float:
        return self.time


PATH = f"ws/2/recording/{mbid(1)}?fmt=json"
GOOD = Answer(json.dumps(ONE).encode(), "application/json")
BUSY = Answer(b'{"error": "busy"}', status=503, headers={"Retry-After": "7"})


def test_an_answer_is_kept_for_good_and_asked_for_with_a_contact(web, tmp_path):
    clock = Clock()
    asking = Services(tmp_path / "cache", clock.wait, clock.now)
    web.answers[f"/{PATH}"] = GOOD
    assert asking.musicbrainz(f"recording/{mbid(1)}") == ONE
    assert "me@example.org" in web.asked[0].headers["User-Agent"] and "mirflow/" in web.asked[0].headers["User-Agent"]
    web.answers.clear()
    clock.time += 1e9
    assert asking.musicbrainz(f"recording/{mbid(1)}") == ONE and len(web.asked) == 1
    for kept in (tmp_path / "cache").iterdir():
        kept.write_text("{")
    with pytest.raises(MirflowError):
        web.answers[f"/{PATH}"] = Answer(b"<html>", "text/html")
        asking.musicbrainz(f"recording/{mbid(1)}")


def test_what_is_not_found_is_asked_again_after_90_days(web, tmp_path):
    clock = Clock()
    asking = Services(tmp_path / "cache", clock.wait, clock.now)
    web.answers[f"/{PATH}"] = Answer(b'{"error": "Not Found"}', status=404)
    assert asking.musicbrainz(f"recording/{mbid(1)}") is None
    clock.time += 89 * 86400
    assert asking.musicbrainz(f"recording/{mbid(1)}") is None and len(web.asked) == 1
    clock.time += 2 * 86400
    web.answers[f"/{PATH}"] = Answer(b"", status=500)  # until it can be asked, what was known counts
    assert asking.musicbrainz(f"recording/{mbid(1)}") is None and len(web.asked) == 2
    web.answers[f"/{PATH}"] = GOOD
    assert asking.musicbrainz(f"recording/{mbid(1)}") == ONE and len(web.asked) == 3


def test_a_busy_service_is_left_in_peace_as_long_as_it_asks(web, tmp_path):
    clock = Clock()
    asking = Services(tmp_path / "cache", clock.wait, clock.now)
    web.answers[f"/{PATH}"] = [BUSY, Answer(b"", status=429), GOOD]
    assert asking.musicbrainz(f"recording/{mbid(1)}") == ONE
    assert clock.waited == [7.0, 4.0]
    web.answers["/ws/2/recording/x?fmt=json"] = Answer(b"", status=503, headers={"Retry-After": "3600"})
    with pytest.raises(MirflowError, match=r"too busy.*3600 s"):
        asking.musicbrainz("recording/x")
    assert 3600.0 not in clock.waited


@pytest.mark.parametrize("answer", [
    Answer(loopback.PAGE, "text/html"), Answer(b'{"recordings": [', "application/json"), Answer(b"[]"), Answer(b""),
    Answer(b'{"error": "bad"}', status=400), Answer(b'{"x": 1}', status=500), Answer(b"x" * 100, cuts=[10]), BUSY,
], ids=str)  # fmt: skip
def test_what_goes_wrong_is_said_in_a_line_and_never_kept(web, tmp_path, answer):
    clock = Clock()
    asking = Services(tmp_path / "cache", clock.wait, clock.now)
    web.answers[f"/{PATH}"] = answer
    with pytest.raises(MirflowError) as error:
        asking.musicbrainz(f"recording/{mbid(1)}")
    assert "musicbrainz" in str(error.value) and "\n" not in str(error.value)
    assert not list(tmp_path.glob("cache/*"))
    web.answers[f"/{PATH}"] = GOOD
    assert asking.musicbrainz(f"recording/{mbid(1)}") == ONE


def test_no_connection_and_a_server_that_says_nothing(web, tmp_path, monkeypatch):
    clock = Clock()
    asking = Services(tmp_path / "cache", clock.wait, clock.now)
    monkeypatch.setattr(services, "TIMEOUT", (0.2, 0.2))
    web.answers[f"/{PATH}"] = lambda: time.sleep(1) or GOOD
    monkeypatch.setenv("MIRFLOW_MUSICBRAINZ_URL", "http://127.0.0.1:9")
    with pytest.raises(MirflowError, match="cannot be reached"):
        asking.musicbrainz(f"recording/{mbid(1)}")
    with loopback.serving() as slow:
        monkeypatch.setattr(loopback.Handler, "answer", lambda *_: time.sleep(1))
        monkeypatch.setenv("MIRFLOW_MUSICBRAINZ_URL", slow.address)
        with pytest.raises(MirflowError, match="cannot be reached"):
            asking.musicbrainz(f"recording/{mbid(1)}")


def test_acoustid_gets_fingerprint_duration_and_key_and_nothing_else(web, tmp_path, monkeypatch):
    monkeypatch.setenv(services.KEY, "secret")
    asking = Services(tmp_path / "cache", Clock().wait, Clock().now)
    web.answers["/v2/lookup"] = Answer(json.dumps({"status": "ok", "results": [heard(1)]}).encode())
    assert asking.acoustid("AQAA", 199.6)["results"] == [heard(1)]
    sent = {name: values[0] for name, values in web.posted.items()}
    assert sent == {
        "client": "secret",
        "fingerprint": "AQAA",
        "duration": "200",
        "meta": "recordingids",
        "format": "json",
    }
    assert "secret" not in "".join(path.read_text() for path in tmp_path.glob("cache/*"))
    web.answers["/v2/lookup"] = Answer(b'{"status": "error", "error": {"message": "invalid API key"}}', status=400)
    with pytest.raises(MirflowError, match="invalid API key"):
        asking.acoustid("AQAB", 10.0)


TURN = "from mirflow.metadata import services; import time; services.wait_for_turn('x'); print(repr(time.time()))"


def test_processes_take_turns_a_second_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    started = [subprocess.Popen([sys.executable, "-c", TURN], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    times = sorted(float(process.communicate(timeout=60)[0]) for process in started)
    assert min(b - a for a, b in itertools.pairwise(times)) > 0.95


def test_a_clock_that_is_wrong_stops_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    clock = Clock()
    services.wait_for_turn("x", clock.wait, clock.now)
    clock.time -= 1e6
    services.wait_for_turn("x", clock.wait, clock.now)
    assert clock.waited == [1.0]
    (tmp_path / "mirflow/x.last").write_text("nonsense")
    services.wait_for_turn("x", clock.wait, clock.now)


def test_in_a_run(web, tmp_path):
    """With 8 jobs: one request a second; a track whose look-up fails fails alone; then without a connection."""
    import mutagen
    from test_whole_library import tune

    for number in (1, 2, 3):
        path = write(tmp_path / f"music/{number}.flac", tune(number, 4))
        tags = mutagen.File(path)
        tags["MUSICBRAINZ_TRACKID"] = mbid(number)
        tags.save()
    times, lock = [], threading.Lock()

    def answer(handler, found):
        with lock:
            times.append(time.monotonic())
        path, _, number = urlsplit(handler.path).path.rpartition("/")
        content = {"label-info": []} if "release" in path else recording(int(number[-3:]))
        broken = number.endswith("3") and len(times) < 100 and web.broken
        reply(handler, Answer(b"<html>" if broken else json.dumps(content).encode()))

    reply = loopback.Handler.answer
    web.broken = True
    skip = ",".join(feature.name for feature in features.built_in())
    config = {"library": tmp_path / "music", "results": tmp_path / "r", "skip": f"[{skip}]",
              "metadata": "{lookup: musicbrainz, contact: me@example.org}"}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loopback.Handler, "answer", answer)
        done = run_snakemake("-j", "8", cwd=layout.PROJECT, **config)
        assert (
            done.returncode != 0 and "3: lookup: musicbrainz answers 200 with something else than JSON" in done.stdout
        )
        infos = {n: json.loads((tmp_path / f"r/{n}/{n}.INFO").read_text()) for n in (1, 2, 3)}
        assert [infos[n].get("musicbrainz_id") for n in (1, 2, 3)] == [mbid(1), mbid(2), None]
        assert all("split" in info for info in infos.values())
        web.broken = False
        assert run_snakemake(cwd=layout.PROJECT, **config).returncode == 0
    assert min(b - a for a, b in itertools.pairwise(times)) > 0.5  # of arrivals; a request may be on its way for long
    assert json.loads((tmp_path / "r/3/3.INFO").read_text())["release_year"] == 1999
    asked = len(web.asked)
    os.environ["MIRFLOW_MUSICBRAINZ_URL"] = "http://127.0.0.1:9"
    again = run_snakemake("--forcerun=lookup", cwd=layout.PROJECT, **config)
    assert again.returncode == 0 and len(web.asked) == asked, again.stdout
    assert "Nothing to be done" in run_snakemake("-n", cwd=layout.PROJECT, **config).stdout
    found = Path(tmp_path, "r/3/metadata/lookup.json")
    status = found.stat()
    found.write_text(json.dumps(json.loads(found.read_text()) | {"metadata_source": None}))
    os.utime(found, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "Nothing to be done" in run_snakemake("-n", cwd=layout.PROJECT, **config).stdout
    for path in (tmp_path / "r").rglob("*"):  # three months later
        os.utime(path, (path.stat().st_mtime - 91 * 86400,) * 2)
    again = run_snakemake(cwd=layout.PROJECT, **config)
    assert again.returncode == 0 and jobs(again.stdout) == {"lookup": 1, "duplicates": 1}, again.stdout
    assert json.loads(found.read_text())["metadata_source"] == "musicbrainz_id in the tags"
    assert "Nothing to be done" in run_snakemake("-n", cwd=layout.PROJECT, **config).stdout


@pytest.mark.parametrize("chosen, message", [
    ({"lookup": "musicbrainz"}, "metadata.contact"), ({"lookup": "spotify"}, "metadata.lookup"),
    ({"lookup": "acoustid", "contact": "me@example.org"}, "acoustid_key"),
])  # fmt: skip
def test_settings_that_lack_something_are_refused(chosen, message, monkeypatch):
    monkeypatch.delenv("ACOUSTID_API_KEY", raising=False)
    config = yaml.safe_load((layout.CONFIG / "config.yaml").read_text())
    settings.check(config)
    with pytest.raises(MirflowError, match=message):
        settings.check(config | {"metadata": config["metadata"] | chosen})
