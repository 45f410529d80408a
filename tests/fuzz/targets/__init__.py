"""The table of fuzz targets: a module of rows for each room; a new one adds its `TARGETS` here."""

from tests.fuzz.target import Target
from tests.fuzz.targets import models, reading, recipes, rendering, scoring, services

_ROOMS = (models, reading, recipes, rendering, scoring, services)
TARGETS: dict[str, Target] = {target.name: target for room in _ROOMS for target in room.TARGETS}
