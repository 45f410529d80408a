"""Text generation: shared prefixes, continuous batching, the choice of the next token."""
