"""Training methods: one loss per file, all of them functions of the log-probabilities of whole
sequences.
"""
