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
    (source / "workflow" / "decide.py").write_text("x = 1\n" * 321)
    (source / "long.py").write_text("x = 1\n" * 751)
    (source / "deep.py").write_text("class A:\n    def f(self):\n" + "        x = 1\n" * 80)
    (source / "fine.py").write_text("def f():\n" + "    x = 1\n" * 79)
    reasons = '    """Why."""\n' + "    # why\n" * 600
    (source / "explained.py").write_text("def f():\n" + reasons + "    x = 1  # how\n" * 79)
    assert sorted(budgets.excesses(tmp_path)) == [
        "README.md: is missing; its budget is 250 lines",
        "src/tunesmith/deep.py:2 f: 81 lines; its budget is 80",
        "src/tunesmith/long.py: 751 lines; its budget is 750",
        "src/tunesmith/workflow/decide.py: 321 lines; its budget is 320",
    ]
