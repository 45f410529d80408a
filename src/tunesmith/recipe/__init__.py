"""A recipe file becomes a `Recipe`.

load.py reads YAML, presets and overrides; check.py holds the rules between fields; defaults.py fills what is left
open, with sources; text.py writes a recipe down.
"""
