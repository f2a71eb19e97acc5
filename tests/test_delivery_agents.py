"""Messages to workers of real agents: short ones, and such as their boxes show as one word."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.boxer import states
from support.lab import until
from support.mock_model import Answer
from support.real import RealWorker, real_worker

pytestmark = pytest.mark.registry

TEXTS = (
    "one line",
    "two\nlines; with $HOME, `ls` and #(touch no)",
    "\n".join(f"line {number}" for number in range(10)),
    "a long line of " + "words " * 500,
)


def check_texts(worker: RealWorker) -> None:
    worker.begin()
    worker.wait("done")
    for number, text in enumerate(TEXTS, 1):
        worker.lab.aiorch("send", "a", "--", text)
        until(lambda: states(worker.lab)[number] == "delivered", f"{number}: {worker.screen}", 30)  # noqa: B023
        worker.wait("done")
    whole = "\n".join(dict.fromkeys(worker.mock.prompts))
    for number, text in enumerate(TEXTS, 1):
        assert whole.count(f"[aiorch message {number}-") == 1
        assert text.strip() in whole
    assert worker.listed()["state"] == "done"
    assert not (worker.lab.project / "no").exists()


def test_messages_to_a_worker_of_claude_code(claude: Path, tmp_path: Path) -> None:
    with real_worker("claude", claude, tmp_path / "lab", Answer("Done.")) as worker:
        check_texts(worker)


def test_messages_to_a_worker_of_codex(codex: Path, tmp_path: Path) -> None:
    with real_worker("codex", codex, tmp_path / "lab", Answer("Done.")) as worker:
        check_texts(worker)
