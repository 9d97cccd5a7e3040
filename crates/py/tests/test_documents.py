"""The examples of README.md run, in one session from top to bottom."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_readme_run(capsys):
    text = README.read_text()
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) >= 6
    names = {"__name__": "readme"}
    for block in blocks:
        # Lines of the file, for tracebacks.
        lines = "\n" * (text[: block.start(1)].count("\n"))
        try:
            exec(compile(lines + block[1], str(README), "exec"), names)
        except Exception as error:
            pytest.fail(f"{README.name}: {block[1]}\n{error!r}")
    assert "Paris" in capsys.readouterr().out
    names["engine"].close()
