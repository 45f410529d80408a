"""The size budgets of `make check`: what is over them is named."""

import importlib.util
from pathlib import Path

TOOL = Path(__file__).parent.parent / "tools" / "budgets.py"


def test_every_excess_is_named_with_its_place(tmp_path: Path) -> None:
    specification = importlib.util.spec_from_file_location("budgets", TOOL)
    assert specification and specification.loader
    budgets = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(budgets)
    source = tmp_path / "src" / "tunesmith"
    source.mkdir(parents=True)
    (source / "workflow").mkdir()
    (source / "workflow" / "decide.py").write_text("x = 1\n" * 251)
    (source / "long.py").write_text("x = 1\n" * 601)
    (source / "deep.py").write_text("class A:\n    def f(self):\n" + "        x = 1\n" * 60)
    (source / "fine.py").write_text("def f():\n" + "    x = 1\n" * 59)
    reasons = '    """Why."""\n' + "    # why\n" * 600
    (source / "explained.py").write_text("def f():\n" + reasons + "    x = 1  # how\n" * 59)
    assert sorted(budgets.excesses(tmp_path)) == [
        "README.md: is missing; its budget is 250 lines",
        "src/tunesmith/deep.py:2 f: 61 lines; its budget is 60",
        "src/tunesmith/long.py: 601 lines; its budget is 600",
        "src/tunesmith/workflow/decide.py: 251 lines; its budget is 250",
    ]
