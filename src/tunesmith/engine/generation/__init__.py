"""How answers come about: what prompts share, which rows are alive, how the next token is chosen."""
