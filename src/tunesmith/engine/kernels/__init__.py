"""Replacements of model parts that need fewer passes over memory; each is checked against the
original when installed.
"""
