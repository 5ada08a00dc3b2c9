"""MIDI files of notes: format 1, the first track with tempi and time signatures, the second with the notes."""

import io
from dataclasses import dataclass
from os import PathLike

import numpy as np

from mirflow.core import artifacts
from mirflow.transcribe.notes import DrumNotes
from mirflow.transcribe.tempo_map import TICKS, TempoMap

VERSION = 1  # of the files; raise it when their bytes change
DRUM_CHANNEL = 9  # counted from 0: channel 10
BASS_CHANNEL = 0
BASS_PROGRAM = 33  # of General MIDI, counted from 0: electric bass, finger
DRUM_LENGTH = TICKS // 8  # ticks; drums have no length, but some programs want one
MOST_BEATS = 255  # of a bar, in MIDI


@dataclass(frozen=True)
class Notes:
    """Notes as a MIDI file holds them, in any order.

    Attributes
    ----------
    starts, ends : ticks [k]
    pitches, velocities : from 0 to 127, and from 1 to 127 [k]
    """

    starts: np.ndarray
    ends: np.ndarray
    pitches: np.ndarray
    velocities: np.ndarray


def drum_notes(found: DrumNotes, tempo: TempoMap, steps: int = 0) -> Notes:
    """Place drum notes on a tempo map.

    Parameters
    ----------
    steps : to a beat, that notes are moved to; 0 leaves them where they are. Of notes of one drum on one step, the
        loudest stays
    """
    starts = tempo.quantised(found.times, steps) if steps else tempo.at(found.times)
    order = np.lexsort((-found.velocities, found.pitches, starts))
    starts, pitches, velocities = starts[order], found.pitches[order], found.velocities[order]
    kept = np.ones(len(starts), bool)
    kept[1:] = (np.diff(starts) != 0) | (np.diff(pitches) != 0)
    starts, pitches, velocities = starts[kept], pitches[kept], velocities[kept]
    ends = starts + DRUM_LENGTH
    for pitch in np.unique(pitches):
        own = np.flatnonzero(pitches == pitch)
        ends[own[:-1]] = np.minimum(ends[own[:-1]], starts[own[1:]])
    return Notes(starts, ends, pitches, velocities)


def line(
    tempo: TempoMap, *, starts: np.ndarray, ends: np.ndarray, pitches: np.ndarray, velocities: np.ndarray
) -> Notes:
    """Place notes that sound one after the other on a tempo map; each lasts a tick at least.

    Parameters
    ----------
    starts, ends : seconds, ascending [k]
    pitches, velocities : of MIDI [k]
    """
    ticks, first = np.unique(tempo.at(starts), return_index=True)
    return Notes(ticks, np.maximum(tempo.at(ends)[first], ticks + 1), pitches[first], velocities[first])


def write(
    path: str | PathLike, notes: Notes, tempo: TempoMap, *, name: str, channel: int, duration: float, program: int = 0
) -> None:
    """Write a MIDI file atomically. Equal notes and tempi give equal bytes.

    Parameters
    ----------
    notes : their starts and ends in ticks of `tempo`
    name : of the track of notes
    channel : counted from 0
    duration : of the recording in seconds; the tracks end there, or with the last note
    program : of General MIDI, counted from 0
    """
    import mido

    last = max(int(tempo.at(np.array([duration]))[0]), int(notes.ends.max(initial=0)))
    conductor: list[tuple] = []  # (tick, what comes first at one tick, message)
    for tick, beats, note in tempo.bars:
        message = mido.MetaMessage("time_signature", numerator=min(beats, MOST_BEATS), denominator=note)
        conductor.append((tick, 0, 0, message))
    for tick, quarter in tempo.tempi():
        conductor.append((tick, 1, 0, mido.MetaMessage("set_tempo", tempo=quarter)))
    played: list[tuple] = [(0, 0, 0, mido.Message("program_change", channel=channel, program=program))]
    for start, end, pitch, velocity in zip(
        *(values.tolist() for values in (notes.starts, notes.ends, notes.pitches, notes.velocities)), strict=True
    ):
        played.append((end, 1, pitch, mido.Message("note_off", channel=channel, note=pitch, velocity=0)))
        played.append((start, 2, pitch, mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)))
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS)
    for title, events in (("tempo", conductor), (name, played)):
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=title)])
        before = 0
        for tick, *_, message in sorted(events, key=lambda event: event[:3]):
            track.append(message.copy(time=tick - before))
            before = tick
        track.append(mido.MetaMessage("end_of_track", time=max(last - before, 0)))
        file.tracks.append(track)
    stream = io.BytesIO()
    file.save(file=stream)
    artifacts.write_bytes(path, stream.getvalue())
