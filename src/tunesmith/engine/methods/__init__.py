"""Training methods, one loss per file, computed from log-probabilities of whole sequences."""
