"""Beat tracking by signal processing: onset strength in bands, periodicity, metre and Viterbi decoding."""
