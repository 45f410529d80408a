"""The table of fuzz targets: a module of rows for each room; a new one adds its `TARGETS` here."""

from tests.fuzz.target import Target
from tests.fuzz.targets import reading, recipes, services

TARGETS: dict[str, Target] = {target.name: target for target in (*reading.TARGETS, *recipes.TARGETS, *services.TARGETS)}
