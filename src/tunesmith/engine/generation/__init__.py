"""Text generation: which prefixes prompts share, which sequences are active, how the next token is
chosen.
"""
