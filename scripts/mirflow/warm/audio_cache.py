"""The cache of decoded audio that the commands of a run share: what one executor has decoded, the others need not.

Some twenty commands read the same five files of a track. Decoded audio lies in memory that has no name (memfd): nobody
else can find it, and it is freed with the last process that has it open, however that ends. The server keeps the
descriptors, and passes with each command those of the files that its arguments name. It never reads the audio itself.

Cached audio is used only while its file is the one that was decoded, to the nanosecond of its last change.
"""

import contextlib
import mmap
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

# Nothing else of the package, nor numpy: the server imports this before it sets the number of threads.
if TYPE_CHECKING:
    import numpy as np

    from mirflow.core.audio import Audio

PER_CHILD = 256 << 20  # bytes for each executor: five stereo files of two minutes and a half
MOST_OF_MEMORY = 1 / 8  # all of it together
SAMPLE = 4  # bytes, float32
AT_ONCE = 16  # most files in one message from process to process; also the most that are kept for each executor


@dataclass(frozen=True)
class CachedAudio:
    """What is known of a decoded file in shared memory.

    Attributes
    ----------
    path : of the file, absolute
    identity : of the file's content, see `identity`
    channels, length : shape of the samples
    rate : sampling rate in Hz
    """

    path: str
    identity: list[int]
    channels: int
    length: int
    rate: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.channels * self.length * SAMPLE


def identity(path: str | PathLike) -> list[int]:
    """Return what changes whenever the content of a file does.

    Raises
    ------
    OSError : it is not there
    """
    status = os.stat(path)
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


class Reader:
    """Reads audio for one command, from the file or from the memory where it was decoded before.

    Attributes
    ----------
    new : what it has decoded, with the descriptors of the memory
    """

    def __init__(self, given: list[tuple[CachedAudio, int]], decode: "Callable[[str | PathLike], Audio]") -> None:
        self.given = {sound.path: (sound, descriptor) for sound, descriptor in given}
        self.decode = decode
        self.new: list[tuple[CachedAudio, int]] = []

    def read(self, path: str | PathLike) -> "Audio":
        """Read a file whole; the samples belong to the caller.

        Raises
        ------
        MirflowError : when the file cannot be read, naming it
        """
        full = os.path.join(os.getcwd(), path)
        try:
            now = identity(full)
        except OSError:
            return self.decode(path)
        if full in self.given:
            sound, descriptor = self.given[full]
            if sound.identity == now:
                return _private(descriptor, sound)
        read = self.decode(path)
        with contextlib.suppress(OSError):  # no memory, no descriptors: then it is not shared
            sound = CachedAudio(full, now, *read.samples.shape, read.rate)
            if sound.size and len(self.new) < AT_ONCE and identity(full) == now:
                self.new.append((sound, _shared(read.samples)))
        return read

    def close(self) -> None:
        """Let go of all descriptors; samples that were read stay."""
        for _, descriptor in (*self.given.values(), *self.new):
            os.close(descriptor)
        self.given, self.new = {}, []


def _shared(samples: "np.ndarray") -> int:
    """Copy samples, float32 [channel, n], into memory that can be shared; return its descriptor."""
    descriptor = os.memfd_create("mirflow audio")
    try:
        rest = memoryview(samples).cast("B")
        while rest:  # written, not mapped: where memory is short this raises instead of ending the process
            rest = rest[os.write(descriptor, rest) :]
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _private(descriptor: int, sound: CachedAudio) -> "Audio":
    """Return shared audio with samples of its own: what is written to them nobody else sees."""
    import numpy as np

    from mirflow.core.audio import Audio

    memory = mmap.mmap(descriptor, sound.size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return Audio(np.frombuffer(memory, np.float32).reshape(sound.channels, sound.length), sound.rate)


class Store:
    """The server's side: descriptors of what its executors have decoded, the most recently used."""

    def __init__(self) -> None:
        self.sounds: OrderedDict[str, tuple[CachedAudio, int]] = OrderedDict()
        self.most = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * MOST_OF_MEMORY)

    def add(self, sound: CachedAudio, descriptor: int, children: int) -> None:
        """Keep decoded audio, and forget the least recently used where it is too much for so many executors."""
        self._forget(sound.path)
        self.sounds[sound.path] = sound, descriptor
        room = min(PER_CHILD * children, self.most)
        held = sum(each.size for each, _ in self.sounds.values())
        while held > room or len(self.sounds) > AT_ONCE * children:
            _, (oldest, unused) = self.sounds.popitem(last=False)
            held -= oldest.size
            os.close(unused)

    def named(self, folder: str, arguments: list[str]) -> list[tuple[CachedAudio, int]]:
        """Return the cached audio of the files among the arguments of a command that runs in `folder`."""
        paths = dict.fromkeys(os.path.join(folder, argument) for argument in arguments)
        found = [path for path in paths if path in self.sounds][:AT_ONCE]
        for path in found:
            self.sounds.move_to_end(path)
        return [self.sounds[path] for path in found]

    def close(self) -> None:
        """Forget all."""
        for path in list(self.sounds):
            self._forget(path)

    def _forget(self, path: str) -> None:
        if path in self.sounds:
            os.close(self.sounds.pop(path)[1])
