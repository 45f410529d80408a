"""Prompts built from an instruction and solved examples, written by a user or by a search, within
the model's context length.
"""
