"""Viterbi decoding of the bar-pointer model: beats, tempo and bar positions from evidence per frame."""

import numba
import numpy as np

ENTRY = 255  # back-pointer of a beat that opens a segment


@numba.njit(cache=True)
def best_path(beat, down, tempo, window, intervals, weight, prior, bars, bar_prior, turn, entry):
    """Find the best sequence of beats under the bar-pointer model of Krebs, Böck & Widmer (2015).

    In that model tempo changes only at beats, so the path between two beats is one straight line and the search can step
    from beat to beat (the model's semi-Markov form, the same optimum): a state is the time of a beat, the interval that
    led to it and its position in the bar. The penalty of a change of tempo is a distance on the line of intervals, so
    its maximum over all earlier intervals takes two sweeps. A state "no beats" stands for music without a pulse.

    Parameters
    ----------
    beat : float32 [frame], log odds of a beat in the frame
    down : float32 [frame], log odds of a downbeat, given a beat
    tempo : float32 [window, interval], evidence for an interval, in nats a second (of frames of 1/`window` windows)
    window : frames a window of `tempo`
    intervals : int64 [interval], ascending, frames between beats
    weight : float32 [interval], factor for the evidence of a beat that ends such an interval
    prior : float32 [interval], log probability of a first interval
    bars : int64 [metre], beats a bar
    bar_prior : float32 [metre], log probability of a metre
    turn : float32 [interval], cost of going from an interval to the next one on the list
    entry : cost of beginning a segment of beats

    Returns
    -------
    frames : int64 [k], frames of the beats
    positions : int64 [k], position in the bar, 0 is a downbeat
    segments : int64 [k], number of the segment that a beat belongs to
    score : log odds of the path against no beats at all
    """
    n, width, states = len(beat), len(intervals), bars.sum()
    following, first = np.empty(states, np.int64), np.zeros(states, np.bool_)
    start = np.empty(states, np.float32)
    index = 0
    for metre in range(len(bars)):
        first[index] = True
        for position in range(bars[metre]):
            following[index + position] = index + position + 1
            start[index + position] = bar_prior[metre] - np.log(bars[metre])
        following[index + bars[metre] - 1] = index
        index += bars[metre]
    ring = intervals[-1] + 1
    score = np.full((ring, states, width), -np.inf, np.float32)
    source = np.zeros((ring, states, width), np.uint8)
    back = np.empty((n, states, width), np.uint8)
    leave_state, leave_interval = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    value, origin = np.empty(width, np.float32), np.empty(width, np.uint8)
    off = np.float32(0)
    for t in range(n):
        best, best_state, best_interval = np.float32(-np.inf), -1, 0
        row = tempo[min(t // window, len(tempo) - 1)]
        for state in range(states):
            extra = down[t] if first[state] else np.float32(0)
            opening = off - entry + start[state]
            for i in range(width):
                length = intervals[i]
                value[i] = opening + prior[i]
                back[t, state, i] = ENTRY
                if t >= length:
                    slot = (t - length) % ring
                    arrived = score[slot, state, i] + row[i] * length
                    if arrived > value[i]:
                        value[i] = arrived
                        back[t, state, i] = source[slot, state, i]
                value[i] += beat[t] * weight[i] + extra
                origin[i] = i
                if value[i] > best:
                    best, best_state, best_interval = value[i], state, i
            for i in range(1, width):
                if value[i - 1] - turn[i - 1] > value[i]:
                    value[i], origin[i] = value[i - 1] - turn[i - 1], origin[i - 1]
            for i in range(width - 2, -1, -1):
                if value[i + 1] - turn[i] > value[i]:
                    value[i], origin[i] = value[i + 1] - turn[i], origin[i + 1]
            score[t % ring, following[state]] = value
            source[t % ring, following[state]] = origin
        if best > off:
            off, leave_state[t], leave_interval[t] = best, best_state, best_interval

    preceding = np.empty(states, np.int64)
    offset = np.empty(states, np.int64)
    index = 0
    for metre in range(len(bars)):
        for position in range(bars[metre]):
            preceding[index + position] = index + (position - 1) % bars[metre]
            offset[index + position] = position
        index += bars[metre]
    frames, positions, segments = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    count, segment, t = 0, 0, n - 1
    while t >= 0:
        if leave_state[t] < 0:
            t -= 1
            continue
        state, i = leave_state[t], leave_interval[t]
        while True:
            frames[count], positions[count], segments[count] = t, offset[state], segment
            count += 1
            pointer = back[t, state, i]
            if pointer == ENTRY:
                break
            t -= intervals[i]
            state, i = preceding[state], np.int64(pointer)
        segment += 1
        t -= 1
    frames, positions = frames[:count][::-1].copy(), positions[:count][::-1].copy()
    return frames, positions, (segment - 1 - segments[:count])[::-1].copy(), off
