"""What is noted about the machine is true of this one, and costs no torch."""

import os
import platform
import subprocess
import sys

import numpy

from tunesmith.runs.machine_info import describe_machine, list_versions


def test_the_machine_is_this_one() -> None:
    here = describe_machine()
    assert here.platform == platform.platform()
    assert 1 <= here.cores <= (os.cpu_count() or 1)
    assert here.memory_bytes > 2**28
    assert here.processor
    assert here.accelerator is None
    assert describe_machine("NVIDIA X").accelerator == "NVIDIA X"


def test_versions_are_those_installed() -> None:
    found = list_versions()
    assert found["python"] == platform.python_version()
    assert found["numpy"] == numpy.__version__
    assert next(iter(found)) == "python"
    assert list(found)[1:] == sorted(list(found)[1:])


def test_neither_runs_nor_recipe_nor_store_imports_what_is_heavy() -> None:
    code = (
        "import sys, tunesmith.store, tunesmith.runs.run_folder, tunesmith.runs.signals,"
        " tunesmith.runs.machine_info, tunesmith.recipe.recipe_loader,"
        " tunesmith.store.stored_records; print(sorted({'torch', 'transformers', 'sqlalchemy',"
        " 'alembic', 'numpy', 'polars'} & set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )
