"""What a pane printed while nobody wrote its log, read from what it shows now (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiorch.capture.ansi import decode_line
from aiorch.capture.directive import Directive
from aiorch.capture.gutter import Gutter
from aiorch.capture.pane import PaneReader

_MANY_LINES = 8
"""So many known lines in a row are no chance."""

_FEW_LINES, _FEW_LETTERS = 2, 24
"""Less than this in common says nothing: a prompt, a rule."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What `capture-pane` returned of a pane: its rows with those that scrolled off, and its size."""

    lines: Sequence[str]
    cols: int
    rows: int


@dataclass(frozen=True, slots=True)
class Missed:
    """The directives that nobody had read, and how far they can be relied upon.

    `is_whole` when all that was printed was still to be seen. `is_exact` when it is sure where it began; if
    not, what is among them may have been read before, and is uncertain (`altered`).
    """

    directives: Sequence[Directive]
    is_whole: bool
    is_exact: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """Where the known lines end on what a pane shows, and whether that is sure."""

    end: int
    is_sure: bool


def find_missed(
    known: Sequence[str], shown: Shown, gutter: Gutter | None, position: str, *, drawing: bool
) -> Missed:
    """Return what follows the `known` lines on what a pane shows; `drawing` when a program draws there.

    When none of them is to be found, what is on the screen counts.
    """
    lines = list(shown.lines)
    while lines and not lines[-1].strip():
        lines.pop()
    found = _find(known, [_text(line) for line in lines], shown.rows)
    first = found.end if found else max(0, len(lines) - shown.rows)
    reader = PaneReader(shown.cols, shown.rows, gutter, mode="screen" if drawing else "plain")
    if drawing:
        # What stands above tells whose words follow.
        reader.seed("\n".join(lines[:first]))
    ends = "\r\n" if drawing else "\n"
    text = ends * (drawing and first > 0) + ends.join(lines[first:]) + ends * (not drawing)
    seen = [*reader.feed(text.encode("utf-8", "surrogateescape"), position), *reader.settle()]
    directives = [one for one in seen if isinstance(one, Directive)]
    is_exact = found is not None and found.is_sure
    if not is_exact:
        directives = [replace(one, altered=True) for one in directives]
    return Missed(directives, found is not None, is_exact)


def _text(line: str) -> str:
    return decode_line(line.encode("utf-8", "surrogateescape")).text.rstrip()


def _find(known: Sequence[str], shown: Sequence[str], rows: int) -> _Known | None:
    old = [line.rstrip() for line in known if line.strip()]
    # Programs and widths differ in what is blank.
    at = [index for index, line in enumerate(shown) if line]
    is_all = len(shown) <= rows
    if not old:
        # All is new where there was nothing, unless some of it has scrolled off: when is not known.
        return _Known(0, True) if is_all else None
    letters, count, last, end = _longest_run(old, [shown[index] for index in at])
    is_top = is_all and count == len(old) == end + 1
    if not is_top and (count < _FEW_LINES or letters < _FEW_LETTERS):
        return None
    is_last = last == len(old) - 1
    return _Known(at[end] + 1, is_top or (is_last and count >= _MANY_LINES))


def _longest_run(old: Sequence[str], new: Sequence[str]) -> tuple[int, int, int, int]:
    """Return letters and lines of the run of lines that tells most, and its last index in `old` and `new`.

    Of equal ones the last in `old` counts, and of those the first in `new`. The last known line may have
    gone on since.
    """
    places: dict[str, list[int]] = {}
    for index, line in enumerate(new):
        places.setdefault(line, []).append(index)
    best = (0, 0, -1, -1)
    before: dict[int, tuple[int, int]] = {}
    for index, line in enumerate(old):
        runs = {}
        found = places.get(line, ())
        if index == len(old) - 1:
            found = [place for place, text in enumerate(new) if text.startswith(line)]
        for place in found:
            letters, count = before.get(place - 1, (0, 0))
            runs[place] = (letters + len(line), count + 1)
            if (runs[place][0], index) > (best[0], best[2]):
                best = (*runs[place], index, place)
        before = runs
    return best
