"""What the drums play: how often and how hard each drum is hit, syncopation, swing, timing and backbeat."""

import numpy as np

from mirflow.core.feature import Feature, Field
from mirflow.dsp import metre, rhythm
from mirflow.transcribe.activations import DRUMS
from mirflow.transcribe.notes import DrumNotes

# Beats: where in a beat its off-beat eighth may lie. Straight sixteenths are outside; of two notes inside, the first
# one counts.
OFF_BEAT = (5 / 12, 0.72)
ON_BEAT = 1 / 12  # beats; a note closer to a beat is on it
FEWEST_PAIRS = 8  # of a note on a beat and one on its off-beat eighth
FEWEST_NOTES = 2  # two have a standard deviation
BACKBEAT_METRE = 4  # beats in a bar
ON_BACKBEAT = 1 / 8  # beats; half a sixteenth

_NAMES = {"kick": "kicks", "snare": "snare hits", "tom": "tom hits", "hihat": "hi-hat hits", "cymbal": "cymbal hits"}
_NO_GRID = "there are no {}, or less than two beats"

FEATURE = Feature(
    name="drums",
    version=1,
    inputs=("drum_notes", "beats", "downbeats"),
    fields=(
        *(
            field
            for drum in DRUMS
            for field in (
                Field(f"drum_density_{drum}", "1/s", bounds=(0, np.inf), range=(0, 12 if drum == "hihat" else 6),
                      meaning=f"{_NAMES[drum]} per second, over the whole track"),
                Field(f"drum_velocity_mean_{drum}", "MIDI velocity", bounds=(1, 127), range=(40, 127),
                      meaning=f"mean velocity of the {_NAMES[drum]}; loud ones of the track have 110",
                      undefined=f"there are no {_NAMES[drum]}"),
                Field(f"drum_velocity_std_{drum}", "MIDI velocity", bounds=(0, 63), range=(0, 40),
                      meaning=f"standard deviation of the velocity of the {_NAMES[drum]}",
                      undefined=f"there are no {_NAMES[drum]}"),
            )
        ),
        *(
            Field(f"syncopation_{drum}", "ratio", bounds=(0, 1), range=(0, 0.6),
                  meaning=f"like syncopation, of the {_NAMES[drum]}",
                  undefined=_NO_GRID.format(_NAMES[drum]) + ", or none lies between beats")
            for drum in ("kick", "snare")
        ),
        Field("drum_swing", "beats", bounds=(0.4, 0.75), range=(0.48, 0.7),
              meaning="where the off-beat eighth lies within the beat: 0.5 straight, 0.667 triplets; median over the "
                      "beats with a note on the beat and one on the eighth",
              undefined=f"there are less than {FEWEST_PAIRS} such beats"),
        Field("drum_microtiming", "ms", bounds=(0, np.inf), range=(0, 40),
              meaning="standard deviation of the notes from their nearest sixteenths",
              undefined="less than two drum notes lie between beats"),
        Field("drum_backbeat", "ratio", bounds=(0, 1), range=(0, 1),
              meaning="share of the second and fourth beats of bars that have a snare hit, in metres of four beats",
              undefined="there are no drum notes, no downbeats, or the bars usually have another number of beats"),
    ),
    cite="syncopation: see there; the others are defined here",
)  # fmt: skip


def measure(drum_notes: DrumNotes, beats: np.ndarray, downbeats: np.ndarray) -> dict[str, float | None]:
    """Measure what the drums play.

    Parameters
    ----------
    drum_notes : of the track
    beats, downbeats : seconds, ascending [n], [m]

    Returns
    -------
    drum_density_<drum> : 1/s
    drum_velocity_mean_<drum>, drum_velocity_std_<drum> : of MIDI, 1 to 127
    syncopation_kick, syncopation_snare, drum_backbeat : in [0, 1]
    drum_swing : beats
    drum_microtiming : ms

    Undefined values are None.
    """
    values: dict[str, float | None] = {}
    for drum in DRUMS:
        played = drum_notes.of(drum).velocities
        values[f"drum_density_{drum}"] = len(played) / max(drum_notes.duration, 1e-9)
        values[f"drum_velocity_mean_{drum}"] = float(played.mean()) if len(played) else None
        values[f"drum_velocity_std_{drum}"] = float(played.std()) if len(played) else None
    beats = np.unique(beats)
    division = metre.division(onsets=drum_notes.times, beats=beats)
    for drum in ("kick", "snare"):
        values[f"syncopation_{drum}"], _ = rhythm.syncopation(
            onsets=drum_notes.of(drum).times, beats=beats, downbeats=downbeats, division=division
        )
    values["drum_swing"] = swing(drum_notes.times, beats)
    values["drum_microtiming"] = microtiming(drum_notes.times, beats, division)
    values["drum_backbeat"] = None
    if len(drum_notes.times):
        values["drum_backbeat"] = backbeat(drum_notes.of("snare").times, beats=beats, downbeats=downbeats)
    return values


def swing(times: np.ndarray, beats: np.ndarray) -> float | None:
    """Return the median place of the off-beat eighth within the beat; None with less than `FEWEST_PAIRS` pairs.

    Parameters
    ----------
    times : of notes, seconds [k]
    beats : seconds, strictly ascending [n]
    """
    if len(beats) < 2:
        return None
    position = metre.positions(times, beats)
    position = np.sort(position[np.isfinite(position)])
    on_beat = np.unique(np.round(position[np.abs(position - np.round(position)) <= ON_BEAT]))
    beat = np.floor(position)
    within = position - beat
    inside = (within >= OFF_BEAT[0]) & (within <= OFF_BEAT[1]) & np.isin(beat, on_beat)
    _, first = np.unique(beat[inside], return_index=True)
    return float(np.median(within[inside][first])) if len(first) >= FEWEST_PAIRS else None


def microtiming(times: np.ndarray, beats: np.ndarray, division: int) -> float | None:
    """Return the standard deviation of notes from their nearest sixteenths in ms; None with less than two notes.

    Parameters
    ----------
    times : of notes, seconds [k]
    beats : seconds, strictly ascending [n]
    division : sixteenths in a beat, from `metre.division`
    """
    if len(beats) < 2:
        return None
    position = metre.positions(times, beats)
    position = position[np.isfinite(position)]
    if len(position) < FEWEST_NOTES:
        return None
    local = metre.local_beats(np.diff(beats))[np.clip(np.floor(position).astype(int), 0, len(beats) - 2)]
    steps = position * division
    return float(np.std((steps - rhythm.round_half_up(steps)) / division * local * 1000))


def backbeat(snare: np.ndarray, *, beats: np.ndarray, downbeats: np.ndarray) -> float | None:
    """Return the share of second and fourth beats with a snare hit; None unless bars usually have four beats.

    Parameters
    ----------
    snare, beats, downbeats : seconds, ascending; beats strictly
    """
    if len(beats) < 2:
        return None
    starts = metre.downbeat_indices(beats, np.asarray(downbeats))
    if len(starts) < 2 or np.bincount(np.diff(starts)).argmax() != BACKBEAT_METRE:
        return None
    bars = metre.bars(len(beats), starts)
    wanted = [first + place for first, count in bars if count == BACKBEAT_METRE for place in (1, 3)]
    wanted = [index for index in wanted if 0 <= index < len(beats)]
    position = metre.positions(snare, beats)
    position = position[np.isfinite(position)]
    hit = np.round(position[np.abs(position - np.round(position)) <= ON_BACKBEAT])
    return float(np.isin(wanted, hit).mean())
