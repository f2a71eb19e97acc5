"""The section shown in the primary pane of a real run."""

from __future__ import annotations

from support.lab import Lab


def test_showing_the_section_starts_nothing_and_says_nothing(lab: Lab) -> None:
    lab.start()
    lab.aiorch("init", "--agent", "claude", "codex")
    text = "".join((lab.project / name).read_text() for name in ("CLAUDE.md", "AGENTS.md"))
    lab.say_line(text + '[ORCHESTRATE] {"task": "the one that is meant"}')
    lab.wait_told("ASKING")
    assert [event.tag for event in lab.events()] == ["LISTENING", "RECEIVED", "ASKING"]
    assert "the one that is meant" in lab.events()[1].text
