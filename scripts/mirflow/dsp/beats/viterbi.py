"""Viterbi decoding of the bar-pointer model: beats, tempo and bar positions from the evidence in each frame."""

import numba
import numpy as np

SEGMENT_START = 255  # back-pointer of a beat that starts a segment


@numba.njit(cache=True)
def best_path(beat, down, tempo, window, intervals, prior, bars, bar_prior, bar_cost, change_cost, segment_cost):
    """Find the best sequence of beats under the bar-pointer model of Krebs, Böck & Widmer (2015).

    In that model the tempo changes only at beats. The search can therefore go from beat to beat instead of from frame
    to frame (the semi-Markov form of the model, which has the same optimum). A state is the time of a beat, the
    interval before it, and its position in the bar. The cost of a tempo change is additive along the list of intervals,
    so the maximum over all previous intervals needs only one forward and one backward pass over that list. One more
    state, "no beats", represents music without a pulse. A segment is a run of beats between two visits to that state.

    Parameters
    ----------
    beat : float32 [frame], log odds of a beat in the frame
    down : float32 [frame], log odds of a downbeat, given a beat
    tempo : float32 [window, interval], evidence for each interval, in nats per frame
    window : number of frames in a window of `tempo`
    intervals : int64 [interval], frames between beats, ascending
    prior : float32 [interval], log probability of the first interval of a segment
    bars : int64 [metre], beats per bar
    bar_prior : float32 [metre], log probability of each metre
    bar_cost : float32 [metre], nats for each downbeat in this metre
    change_cost : float32 [interval - 1], nats for a change from each interval to the next one in the list
    segment_cost : nats for the start of a segment

    Returns
    -------
    frames : int64 [k], frames of the beats
    positions : int64 [k], positions in the bar; 0 is a downbeat
    segments : int64 [k], number of the segment of each beat, from 0
    score : log odds of the path, relative to no beats at all
    """
    n, width, states = len(beat), len(intervals), bars.sum()
    next_state, is_downbeat = np.empty(states, np.int64), np.zeros(states, np.bool_)
    start, cost = np.empty(states, np.float32), np.zeros(states, np.float32)
    index = 0
    for metre in range(len(bars)):
        is_downbeat[index], cost[index] = True, bar_cost[metre]
        for position in range(bars[metre]):
            next_state[index + position] = index + position + 1
            start[index + position] = bar_prior[metre] - np.log(bars[metre])
        next_state[index + bars[metre] - 1] = index
        index += bars[metre]
    slots = intervals[-1] + 1
    score = np.full((slots, states, width), -np.inf, np.float32)
    source = np.zeros((slots, states, width), np.uint8)
    back = np.empty((n, states, width), np.uint8)
    leave_state, leave_interval = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    value, origin = np.empty(width, np.float32), np.empty(width, np.uint8)
    no_beats_score = np.float32(0)
    for t in range(n):
        best, best_state, best_interval = np.float32(-np.inf), -1, 0
        row = tempo[min(t // window, len(tempo) - 1)]
        for state in range(states):
            downbeat_evidence = down[t] - cost[state] if is_downbeat[state] else np.float32(0)
            start_score = no_beats_score - segment_cost + start[state]
            for i in range(width):
                length = intervals[i]
                value[i] = start_score + prior[i]
                back[t, state, i] = SEGMENT_START
                if t >= length:
                    slot = (t - length) % slots
                    continued = score[slot, state, i] + row[i] * length
                    if continued > value[i]:
                        value[i] = continued
                        back[t, state, i] = source[slot, state, i]
                value[i] += beat[t] + downbeat_evidence
                origin[i] = i
                if value[i] > best:
                    best, best_state, best_interval = value[i], state, i
            for i in range(1, width):
                if value[i - 1] - change_cost[i - 1] > value[i]:
                    value[i], origin[i] = value[i - 1] - change_cost[i - 1], origin[i - 1]
            for i in range(width - 2, -1, -1):
                if value[i + 1] - change_cost[i] > value[i]:
                    value[i], origin[i] = value[i + 1] - change_cost[i], origin[i + 1]
            score[t % slots, next_state[state]] = value
            source[t % slots, next_state[state]] = origin
        if best > no_beats_score:
            no_beats_score, leave_state[t], leave_interval[t] = best, best_state, best_interval

    previous_state = np.empty(states, np.int64)
    offset = np.empty(states, np.int64)
    index = 0
    for metre in range(len(bars)):
        for position in range(bars[metre]):
            previous_state[index + position] = index + (position - 1) % bars[metre]
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
            if pointer == SEGMENT_START:
                break
            t -= intervals[i]
            state, i = previous_state[state], np.int64(pointer)
        segment += 1
        t -= 1
    frames, positions = frames[:count][::-1].copy(), positions[:count][::-1].copy()
    return frames, positions, (segment - 1 - segments[:count])[::-1].copy(), no_beats_score
