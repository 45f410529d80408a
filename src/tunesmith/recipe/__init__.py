"""A recipe file becomes a `Recipe`.

recipe_loader.py reads YAML, presets and overrides; validate.py has the rules between fields;
defaults.py fills what is left open, with sources; recipe_yaml.py writes a recipe; recipe_keys.py
and key_aliases.py know its keys.
"""
