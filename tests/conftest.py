"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.lab import Lab

LabMaker = Callable[..., Lab]


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[LabMaker]:
    """Return a function that makes a lab of its own for the test; the arguments are those of Lab."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Lab(tmp_path / "lab", **options))


@pytest.fixture
def lab(make_lab: LabMaker) -> Lab:
    """Return a lab with a shell as the primary in a window of 160 x 44."""
    return make_lab()
