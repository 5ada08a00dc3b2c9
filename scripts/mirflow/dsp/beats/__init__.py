"""Beat tracking: the network that hears beats, Viterbi decoding of what it says, and how clearly a sound pulses."""
