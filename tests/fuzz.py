"""Give damaged, lying and malicious files to what reads audio: ``make fuzz CASES=500``.

Each case runs in a process of its own, as in the workflow, with a limit on memory and time. It must end with a FLAC
file that can be read, or with one line that says what is wrong; anything else is a crash. First come files that were
made to do harm, then good files of every format with random damage.
"""

import argparse
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from audio_files import _crc, encoded, id3v2, music, written
from mirflow.core.errors import MirflowError
from mirflow.library import full_mix

MOST_MINUTES = 120  # the setting's default
MOST_SECONDS = 120  # CPU, of one case
MOST_MEMORY = 2 << 30  # bytes of address space, on top of what the libraries take
PATIENCE = 900  # s, on a machine that has other things to do
DAY = 24 * 3600  # s

FORMATS: dict[str, Callable[[], bytes]] = {
    "wav": lambda: written(music(), "WAV", "PCM_16"),
    "wav float": lambda: written(music(), "WAV", "FLOAT"),
    "rf64": lambda: written(music(), "RF64"),
    "aiff": lambda: written(music(), "AIFF"),
    "flac": lambda: written(music(), "FLAC"),
    "ogg": lambda: written(music(), "OGG"),
    "opus": lambda: written(music(), "OGG", "OPUS", 48000),
    "mp3": lambda: encoded(music(), "libmp3lame", "mp3"),
    "m4a": lambda: encoded(music(), "aac", "ipod", movflags="faststart"),
    "alac": lambda: encoded((music() * 2**30).astype(np.int32), "alac", "ipod"),
    "aac": lambda: encoded(music(), "aac", "adts"),
    "wma": lambda: encoded(music(), "wmav2", "asf"),
}


@cache
def good(name: str) -> bytes:
    """Return an undamaged file of a format."""
    return FORMATS[name]()


# Random damage

EXTREMES = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def cut(content: bytes, chance: random.Random) -> bytes:
    """Lose the end."""
    return content[: chance.randrange(len(content))]


def flip(content: bytes, chance: random.Random) -> bytes:
    """Turn up to 20 bits anywhere."""
    return _flipped(content, chance, chance.randint(1, 20), len(content))


def flip_many(content: bytes, chance: random.Random) -> bytes:
    """Turn a bit in every hundredth byte."""
    return _flipped(content, chance, len(content) // 100, len(content))


def flip_headers(content: bytes, chance: random.Random) -> bytes:
    """Turn up to 20 bits in the first 600 bytes."""
    return _flipped(content, chance, chance.randint(1, 20), 600)


def _flipped(content: bytes, chance: random.Random, number: int, end: int) -> bytes:
    mutable = bytearray(content)
    for _ in range(number):
        mutable[chance.randrange(min(end, len(content)))] ^= 1 << chance.randrange(8)
    return bytes(mutable)


def lie(content: bytes, chance: random.Random) -> bytes:
    """Put the least or the most that a number can be into the headers, once to three times."""
    mutable = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        layout = chance.choice(("<H", ">H", "<I", ">I"))
        at = chance.randrange(min(len(content) - 4, chance.choice((64, 600, 4000))))
        struct.pack_into(layout, mutable, at, chance.choice(EXTREMES) & (0xFFFF if layout[1] == "H" else 0xFFFFFFFF))
    return bytes(mutable)


def lose(content: bytes, chance: random.Random) -> bytes:
    """Lose a piece."""
    first, last = sorted(chance.randrange(len(content)) for _ in range(2))
    return content[:first] + content[last:]


def blank(content: bytes, chance: random.Random) -> bytes:
    """Put zeros into a piece."""
    first, last = sorted(chance.randrange(len(content)) for _ in range(2))
    return content[:first] + bytes(last - first) + content[last:]


def repeat(content: bytes, chance: random.Random) -> bytes:
    """Repeat a piece."""
    first, last = sorted(chance.randrange(len(content)) for _ in range(2))
    return content[:last] + content[first:]


def splice(content: bytes, chance: random.Random) -> bytes:
    """Go on as another format."""
    other = good(chance.choice(list(FORMATS)))
    return content[: chance.randrange(len(content))] + other[chance.randrange(len(other)) :]


def tag(content: bytes, chance: random.Random) -> bytes:
    """Put a tag before it that claims to be larger than it is, or much smaller."""
    mutable = bytearray(id3v2(chance.randrange(5000)))
    mutable[6:10] = bytes(chance.randrange(128) for _ in range(4))
    return bytes(mutable) + content


DAMAGES = (cut, flip, flip_many, flip_headers, lie, lose, blank, repeat, splice, tag)


# Malice


def swapped(content: bytes, at: int, new: bytes) -> bytes:
    """Return a file with other bytes at a place."""
    return content[:at] + new + content[at + len(new) :]


def wav(at: int, layout: str, value: int, after: bytes = b"fmt ") -> bytes:
    """Return a WAV file with another number, `at` bytes behind the name of a chunk."""
    content = good("wav")
    return swapped(content, content.index(after) + at, struct.pack(layout, value))


def flac(rate: int = 44100, frames: int | None = None) -> bytes:
    """Return a FLAC file whose STREAMINFO says something else."""
    content = good("flac")
    packed = int.from_bytes(content[18:26])
    frames = packed & (1 << 36) - 1 if frames is None else frames
    return swapped(content, 18, (rate << 44 | packed & 0xFFFFFFFF << 36 & (1 << 44) - 1 | frames).to_bytes(8))


def silent_flac(seconds: float, rate: int = 44100, channels: int = 2, claims: bool = True) -> bytes:
    """Return silence as FLAC (RFC 9639) with one number a channel for 65535 samples: 16 bytes for 1.5 s."""
    length = 65535
    frames = int(seconds * rate / length)
    info = struct.pack(">HH", length, length) + bytes(6)
    info += (rate << 44 | channels - 1 << 41 | 15 << 36 | frames * length * claims).to_bytes(8) + bytes(16)
    parts = [b"fLaC\x80\x00\x00\x22" + info]
    for number in range(frames):
        coded = chr(number).encode("utf-8", "surrogatepass")  # the same scheme, for numbers below 0x110000
        header = b"\xff\xf8" + bytes([7 << 4, channels - 1 << 4 | 4 << 1]) + coded + struct.pack(">H", length - 1)
        header += bytes([_crc(header, 8, 0x07)])
        frame = header + bytes(3 * channels)  # type CONSTANT, and its 16 bits
        parts.append(frame + _crc(frame, 16, 0x8005).to_bytes(2))
    return b"".join(parts)


def silent_opus(seconds: float) -> bytes:
    """Return silence as Opus (RFC 6716, 7845), whose packets say of six frames that there is nothing in them."""
    from mirflow.library.containers import _ogg_checksum

    def page(number: int, granule: int, packets: list[bytes], flags: int = 0) -> bytes:
        lacing = bytes(len(packet) for packet in packets)
        head = b"OggS\0" + bytes([flags]) + struct.pack("<qII", granule, 1, number)
        body = bytes([len(lacing)]) + lacing + b"".join(packets)
        checksum = _ogg_checksum(head + bytes(4) + body)
        return head + struct.pack("<I", checksum) + body

    packet, each = b"\xfb\x06", 6 * 960  # CELT, 20 ms, mono; six of them; samples at 48 kHz
    pages = [page(0, 0, [b"OpusHead\1\1" + struct.pack("<HIhB", 0, 48000, 0, 0)], 2)]
    pages.append(page(1, 0, [b"OpusTags" + struct.pack("<I", 0) + struct.pack("<I", 0)]))
    count = int(seconds * 48000 / each / 255)
    pages += [page(2 + n, (n + 1) * 255 * each, [packet] * 255, 4 * (n == count - 1)) for n in range(count)]
    return b"".join(pages)


def silent_mp3(seconds: float) -> bytes:
    """Return silence as MP3: MPEG-2.5 at 8 kHz and 8 kbit/s."""
    frame = b"\xff\xe3\x18\xc4".ljust(72, b"\0")  # 576 samples in 72 bytes, mono
    return frame * int(seconds / 0.072)


def nested_boxes(depth: int) -> bytes:
    """Return an MP4 file of boxes in boxes."""
    sizes = [8 * (depth - n) for n in range(depth)]
    return b"\0\0\0\x10ftypM4A \0\0\0\0" + b"".join(struct.pack(">I", size) + b"moov" for size in sizes)


def m4a(box: bytes, at: int, value: int, layout: str = ">I") -> bytes:
    """Return an M4A file with another number, `at` bytes behind the name of a box."""
    content = good("m4a")
    return swapped(content, content.index(box) + 4 + at, struct.pack(layout, value))


def comments(size: int) -> bytes:
    """Return a FLAC file with so many bytes in metadata blocks."""
    content = good("flac")
    block = bytes([4]) + (1 << 20).to_bytes(3) + bytes(1 << 20)
    return content[:42] + block * (size >> 20) + content[42:]


def picture() -> bytes:
    """Return a PNG file of noise, as far as its first bytes tell."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + np.random.default_rng(0).bytes(300_000)


def made(kind: str) -> Callable[[Path], None]:
    """Return what makes something that is no file."""

    def make(path: Path) -> None:
        if kind == "directory":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            import socket

            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(path))
        else:
            path.symlink_to({"loop": path, "nothing": path.with_name("nothing"), "device": "/dev/zero"}[kind])

    return make


CLAIMED = 44100 * DAY  # samples
MALICE: dict[str, Callable[[], bytes] | Callable[[Path], None]] = {
    "wav: no data by its header": lambda: wav(4, "<I", 0, b"data"),
    "wav: 4 GiB by its header": lambda: wav(4, "<I", 0xFFFFFFFF, b"data"),
    "wav: 24 h by its header": lambda: wav(4, "<I", CLAIMED // 4, b"data"),
    "wav: 255 channels": lambda: wav(10, "<H", 255),
    "wav: no channels": lambda: wav(10, "<H", 0),
    "wav: 65535 channels": lambda: wav(10, "<H", 65535),
    "wav: 1 Hz": lambda: wav(12, "<I", 1),
    "wav: no rate": lambda: wav(12, "<I", 0),
    "wav: 10 MHz": lambda: wav(12, "<I", 10_000_000),
    "wav: 4 GHz": lambda: wav(12, "<I", 0xFFFFFFFF),
    "wav: blocks of nothing": lambda: wav(20, "<H", 0),
    "wav: 0 bits": lambda: wav(22, "<H", 0),
    "wav: 65535 bits": lambda: wav(22, "<H", 65535),
    "wav: format of 4 GiB": lambda: wav(4, "<I", 0xFFFFFFFF),
    "wav: 32000 chunks": lambda: good("wav")[:12] + b"junk\0\0\0\0" * 32000 + good("wav")[12:],
    "aiff: 255 channels": lambda: swapped(c := good("aiff"), c.index(b"COMM") + 8, b"\0\xff"),
    "aiff: rate of NaN": lambda: swapped(c := good("aiff"), c.index(b"COMM") + 16, b"\x7f\xff" + b"\xff" * 8),
    "flac: 24 h by its header": lambda: flac(frames=CLAIMED),
    "flac: 2^36 samples by its header": lambda: flac(frames=(1 << 36) - 1),
    "flac: unknown length": lambda: flac(frames=0),
    "flac: 1 Hz": lambda: flac(rate=1),
    "flac: no rate": lambda: flac(rate=0),
    "flac: metadata that is absent": lambda: good("flac")[:42] + b"\x04\xff\xff\xff" + good("flac")[42:],
    "flac: 100 MB of comments": lambda: comments(100 << 20),
    "flac: comment that is longer than its block": lambda: (
        good("flac")[:42] + b"\x04\x00\x00\x08" + struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFFF) + good("flac")[42:]
    ),
    "ogg: 100 years by its last page": lambda: swapped(c := good("ogg"), c.rindex(b"OggS") + 6, b"\xff" * 7),
    "mp3: 2^31 frames by its header": lambda: swapped(c := good("mp3"), c.index(b"Xing") + 8, b"\x7f\xff\xff\xff")
    if b"Xing" in good("mp3")
    else swapped(c := good("mp3"), c.index(b"Info") + 8, b"\x7f\xff\xff\xff"),
    "mp3: tag of 256 MB that is absent": lambda: b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + good("mp3"),
    "mp3: tag of 100 MB": lambda: id3v2(100 << 20) + good("mp3"),
    "mp3: 20000 tags": lambda: id3v2(0) * 20000 + good("mp3"),
    "mp3: only false starts": lambda: b"\xff\xfb\x90\x64" * 500_000,
    "m4a: duration 2^32": lambda: m4a(b"mdhd", 16, 0xFFFFFFFF),
    "m4a: 0 units a second": lambda: m4a(b"mdhd", 12, 0),
    "m4a: 2^31 samples": lambda: m4a(b"stsz", 8, 0x7FFFFFFF),
    "m4a: 2^31 times": lambda: m4a(b"stts", 4, 0x7FFFFFFF),
    "m4a: 2^31 samples at once": lambda: m4a(b"stts", 8, 0x7FFFFFFF),
    "m4a: 2^31 chunks": lambda: m4a(b"stsc", 4, 0x7FFFFFFF),
    "m4a: 255 channels": lambda: m4a(b"mp4a", 16, 255, ">H"),
    "m4a: boxes in boxes": lambda: nested_boxes(50_000),
    "m4a: box of 2^64": lambda: b"\0\0\0\x10ftypM4A \0\0\0\0\0\0\0\1mdat" + b"\xff" * 8 + good("m4a"),
    "wma: no packets": lambda: good("wma")[:30] + bytes(len(good("wma")) - 30),
    "24 h of silence: flac": lambda: silent_flac(DAY),
    "3 min of silence: flac, 8 channels, 655 kHz": lambda: silent_flac(180, 655350, 8),
    "24 h of silence: flac, unknown length": lambda: silent_flac(DAY, claims=False),
    "24 h of silence: opus": lambda: silent_opus(DAY),
    "24 h of silence: mp3": lambda: silent_mp3(DAY),
    "2 h of silence: flac": lambda: silent_flac(7190),
    "empty": lambda: b"",
    "one byte": lambda: b"f",
    "text": lambda: b"It was a dark and stormy night. \xff\xfb\x90\x64\n" * 2000,
    "picture": picture,
    "zeros": lambda: bytes(10 << 20),
    "noise": lambda: np.random.default_rng(1).bytes(10 << 20),
    "directory": made("directory"),
    "fifo": made("fifo"),
    "socket": made("socket"),
    "loop of links": made("loop"),
    "link to nothing": made("nothing"),
    "link to an endless device": made("device"),
}  # fmt: skip


# The trial


@dataclass
class Ending:
    """How a case ended: "decoded", "refused", "crashed" or "hung"; what it said; CPU s; MiB more at most."""

    verdict: str
    said: str
    seconds: float
    memory: float


def attempt(source: Path, flac: Path) -> str:
    """Convert; return what was said against it, "" when there is a FLAC file that can be read."""
    try:
        record = full_mix.make(source, flac, max_minutes=MOST_MINUTES)
    except MirflowError as error:
        assert not list(flac.parent.iterdir()), "an unfinished file is left"
        assert str(error).startswith(f"{source}: ") and "\n" not in str(error), f"not one line: {error}"
        return str(error).removeprefix(f"{source}: ")
    info = soundfile.info(flac)
    assert (info.frames, info.channels, info.samplerate) == (record["frames"], record["channels"], record["rate"])
    for block in soundfile.blocks(flac, 1 << 20):
        assert np.isfinite(block).all()
    assert info.frames > 0
    return ""


def trial(source: Path, folder: Path) -> Ending:
    """Do a case in a process of its own."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    for left in out.iterdir():
        left.unlink()
    said = folder / "said"
    taken, resident = (
        int(pages) * resource.getpagesize() for pages in Path("/proc/self/statm").read_text().split()[:2]
    )
    child = os.fork()
    if child == 0:
        status = 3
        try:
            resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_MEMORY,) * 2)
            resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS + 5))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            with said.open("w") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            reason = attempt(source, out / "full_mix.flac")
            with said.open("a") as log:
                log.write(reason)
            status = 1 if reason else 0
        except BaseException:  # noqa: BLE001 - whatever it was is a crash
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    end = time.monotonic() + PATIENCE
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    text = said.read_text(errors="replace") if said.exists() else ""
    seconds = usage.ru_utime + usage.ru_stime
    verdict = {0: "decoded", 1: "refused"}.get(os.waitstatus_to_exitcode(status), "crashed")
    if time.monotonic() > end or seconds > MOST_SECONDS - 1:
        verdict = "hung"
    if verdict == "decoded" and text:
        verdict = "crashed"
        text = f"a library wrote: {text}"
    if verdict == "crashed":
        text = f"exit status {os.waitstatus_to_exitcode(status)}: {text[-1500:]}"
    return Ending(verdict, text, seconds, max(usage.ru_maxrss * 1024 - resident, 0) / 2**20)


@dataclass
class Row:
    """What became of the cases of one kind."""

    verdicts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("decoded", "refused", "crashed", "hung"), 0)
    )
    seconds: float = 0.0
    memory: float = 0.0


def run(
    folder: Path, cases: int, seed: int, malice: bool = True, tell: bool = False
) -> tuple[dict[str, Row], list[str]]:
    """Try all malicious files, and so many damaged ones.

    Returns
    -------
    rows : by format
    failures : a line for each case that crashed or hung
    """
    warm = folder / "warm.wav"
    warm.write_bytes(good("wav"))
    full_mix.make(warm, folder / "warm.flac")  # the libraries are there before the forks
    warm.write_bytes(good("m4a"))
    full_mix.make(warm, folder / "warm.flac")
    rows: dict[str, Row] = {}
    failures = []

    def one(kind: str, name: str, source: Path) -> None:
        ending = trial(source, folder)
        row = rows.setdefault(kind, Row())
        row.verdicts[ending.verdict] += 1
        row.seconds, row.memory = max(row.seconds, ending.seconds), max(row.memory, ending.memory)
        if ending.verdict in ("crashed", "hung"):
            failures.append(f"{name}: {ending.verdict}: {ending.said}")
        if tell:
            print(f"{name:45} {ending.verdict:8} {ending.seconds:5.1f} s {ending.memory:5.0f} MiB  {ending.said[:150]}")

    for name, make in MALICE.items() if malice else ():
        source = folder / "malice"
        if name in ("directory", "fifo", "socket") or "link" in name:
            make(source)
        else:
            source.write_bytes(make())
        one("malice", name, source)
        if name == "directory":
            source.rmdir()
        else:
            source.unlink()
    for case in range(cases):
        chance = random.Random(f"{seed} {case}")
        kind, damage = list(FORMATS)[case % len(FORMATS)], chance.choice(DAMAGES)
        source = folder / "damaged"
        source.write_bytes(damage(good(kind), chance))
        one(kind, f"{kind}, case {case} of seed {seed}, {damage.__name__}", source)
    return rows, failures


def main() -> int:
    """Return 0 when nothing crashed and nothing hung."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=int, nargs="?", default=500)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each case")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory(prefix="mirflow-fuzz-") as folder:
        rows, failures = run(Path(folder), arguments.cases, arguments.seed, tell=arguments.verbose)
    print(f"{'':10} {'decoded':>8} {'refused':>8} {'crashed':>8} {'hung':>8} {'worst CPU s':>12} {'worst MiB':>10}")
    for kind, row in rows.items():
        print(
            f"{kind:10} "
            + " ".join(f"{n:8}" for n in row.verdicts.values())
            + f" {row.seconds:12.1f} {row.memory:10.0f}"
        )
    print(
        "\n".join(failures) or f"{sum(sum(row.verdicts.values()) for row in rows.values())} cases, none crashed or hung"
    )
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
