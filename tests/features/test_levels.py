"""Levels are those of the source, also where a file had to be attenuated because it cannot hold them."""

import numpy as np
import pytest

from conftest import RATE, write
from mirflow import commands
from mirflow.core import artifacts, audio, layout
from mirflow.stems import files

LOUD = 1.7  # peak of the source
DB = 20 * np.log10(LOUD)


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    """A sine beyond full scale, and stems of it of which one is twice as loud again: both are attenuated."""
    folder = tmp_path_factory.mktemp("levels")
    sine = LOUD * np.sin(2 * np.pi * 997 * np.arange(5 * RATE) / RATE)
    source = write(folder / "source.wav", np.stack([sine, sine], axis=1), subtype="FLOAT")
    track = layout.TrackFiles(str(folder), folder.name, "flac")
    assert commands.main(["full_mix", str(source), "-o", track.full_mix, "--record", track.source_record]) == 0
    mix = audio.read(track.full_mix)
    zero = np.zeros_like(mix.samples)
    stems = {"drums": zero, "bass": 2 * mix.samples, "other": -mix.samples, "vocals": zero}
    artifacts.write_json(track.stems_record, files.write(stems, mix.rate, track.stems))
    records = [artifacts.read_json(path)["gain_db"] for path in (track.source_record, track.stems_record)]
    assert records == pytest.approx([-DB, -6.02], abs=0.01)
    return track


def measured(track, feature, *stems):
    inputs = [track.full_mix, *map(track.stem, stems)]
    assert commands.main([f"feature_{feature}", *inputs, "-o", track.fragment(feature)]) == 0
    return artifacts.read_json(track.fragment(feature))


def test_loudness_and_true_peak_are_those_of_the_source(track):
    """A sine of 997 Hz in both channels has 0 LUFS at full scale (ITU-R BS.1770-4)."""
    found = measured(track, "loudness", *layout.STEMS)
    assert found["lufs"] == pytest.approx(DB, abs=0.05) and found["true_peak"] == pytest.approx(DB, abs=0.05)
    assert found["lufs_bass"] == pytest.approx(DB + 6.02, abs=0.05)
    assert found["lufs_other"] == pytest.approx(DB, abs=0.05)


def test_stems_are_compared_at_one_level(track):
    found = measured(track, "stem_quality", *layout.STEMS)
    assert found["stem_peak_bass"] == pytest.approx(DB + 6.02, abs=0.01)
    assert found["stem_rms_other"] == pytest.approx(DB - 3.01, abs=0.01)
    assert found["stem_residual"] < -100, "the stems add up to the mix"


def test_bands_are_those_of_the_source(track):
    assert measured(track, "multiband_rms")["rms_energy_mid"] == pytest.approx(DB - 3.01, abs=0.05)


def test_a_file_without_records_is_taken_as_it_is(track, tmp_path):
    alone = tmp_path / "full_mix.flac"
    alone.write_bytes(open(track.full_mix, "rb").read())
    assert commands.main(["feature_multiband_rms", str(alone), "-o", str(tmp_path / "x.json")]) == 0
    assert artifacts.read_json(tmp_path / "x.json")["rms_energy_mid"] == pytest.approx(-3.01, abs=0.05)


def test_channels_count_as_the_source_says_that_they_are_heard(tmp_path):
    """The third channel of 2.1 is no centre: it does not count in the mix, nor in stems with the same channels."""
    hum = np.sin(2 * np.pi * 997 * np.arange(3 * RATE) / RATE)
    source = write(tmp_path / "source.wav", np.stack([0.1 * hum, 0 * hum, 0.5 * hum], axis=1), format="WAVEX")
    content = bytearray(source.read_bytes())
    content[content.index(b"fmt ") + 28] = 0xB  # FL FR LFE
    source.write_bytes(content)
    track = layout.TrackFiles(str(tmp_path / "results"), "results", "flac")
    assert commands.main(["full_mix", str(source), "-o", track.full_mix, "--record", track.source_record]) == 0
    stems = [track.stem(name) for name in layout.STEMS]
    assert commands.main(["stems", track.full_mix, "-o", *stems, "--record", track.stems_record]) == 0
    found = measured(track, "loudness", *layout.STEMS)
    assert found["lufs"] == pytest.approx(-23.0, abs=0.05)
    assert max(found[f"lufs_{name}"] or -70 for name in layout.STEMS) < -22.9
