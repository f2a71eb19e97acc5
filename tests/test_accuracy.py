"""The page of measured accuracy: written by a command, and kept in step with it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "accuracy.md"
TOTAL = re.compile(r"^\| \*\*all\*\* \|(.*)\|$", re.MULTILINE)


def measure(tmp_path: Path, only: str) -> str:
    page = tmp_path / "accuracy.md"
    script = ROOT / "benchmarks" / "accuracy.py"
    argv = [
        sys.executable,
        "-B",
        str(script),
        str(ROOT / "tests" / "corpus"),
        "--only",
        only,
        "--write",
        str(page),
    ]
    subprocess.run(argv, check=True, capture_output=True)
    return page.read_text()


def headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("#", "| agent", "| column"))]


def test_the_page_is_what_the_command_writes(tmp_path: Path) -> None:
    text = measure(tmp_path, "/short-")
    assert headings(text) == headings(PAGE.read_text())
    fused, transcript, screen, raw, stripped = (
        row.replace("*", "").split("|") for row in TOTAL.findall(text)
    )
    assert int(fused[0]) == int(fused[1]) > 10
    assert fused[2:] == screen[2:]
    assert int(transcript[0]) == int(transcript[1]) > 0
    assert int(raw[1]) <= int(stripped[1]) < int(fused[1])


def test_the_page_claims_no_false_one_of_a_known_agent() -> None:
    tables = PAGE.read_text().split("\n## ")[1:4]
    for table in tables:
        for row in re.findall(
            r"^\| (?:claude|codex|gemini|opencode|qwen|copilot)[^\n]*", table, re.MULTILINE
        ):
            assert [cell.strip() for cell in row.split("|")][6:8] == ["0", "0"], row
