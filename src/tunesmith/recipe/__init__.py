"""A recipe file becomes a `Recipe`: load.py (YAML and overrides), check.py (rules across fields), defaults.py (numbers with sources)."""
