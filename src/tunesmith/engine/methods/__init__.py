"""Training methods: one loss a file, all of them over log-probabilities of whole sequences."""
