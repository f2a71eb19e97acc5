"""Rebuilding one line of text from the rows over which an agent wrapped it (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from aiorch.capture.screen import width_of

_CLOSING = tuple(")]}.,;:!?")


@dataclass(frozen=True, slots=True)
class Wrap:
    """The wrap rule of one block of rows: its text width and where rows may break."""

    width: int
    break_after: str = ""
    doubtful: str = ""


def join(last: str, following: str, inside: bool, wrap: Wrap) -> tuple[str, bool]:
    """Return what stood between two rows, and whether the rule explains it.

    `last` and `following` are the texts of the upper and the lower row; `inside` says that the break is in
    a JSON string. There it stands for one blank, or for nothing where a long token was cut; elsewhere it
    is a line feed, since JSON does not care.
    """
    if following.startswith(" "):
        return "", True
    if inside and last[-1:] in wrap.doubtful and following[:1] in _CLOSING and last[-1:]:
        # Nobody writes a blank before these; still a guess.
        return "", False
    if not inside:
        # A number, `true` or a key cut in two is only possible where the row is full.
        return ("" if _is_cut(last, following, wrap) else "\n"), True
    if _is_cut(last, following, wrap) or _breaks_bare(last, following, wrap):
        return "", True
    # A chunk that would just fill the row is no reason for doubt: some wrap one column early (Qwen Code
    # 0.24.4, Copilot 1.0.102 in the row below a full one).
    fits = width_of(last) + 1 + width_of(_first_chunk(following, wrap)) < wrap.width
    return " ", not fits and last[-1:] not in wrap.doubtful


def _is_cut(last: str, following: str, wrap: Wrap) -> bool:
    used = width_of(last)
    full = used == wrap.width or (used == wrap.width - 1 and width_of(following[:1]) == 2)
    if not full:
        return False
    token = width_of(last.rsplit(" ", 1)[-1]) + width_of(following.split(" ", 1)[0])
    return token > wrap.width


def _breaks_bare(last: str, following: str, wrap: Wrap) -> bool:
    if not wrap.break_after:
        return False
    if _is_ideograph(last[-1:]) and _is_ideograph(following[:1]):
        return True
    lone = last[-2:-1] in {"", " "}
    return last[-1:] in wrap.break_after and not lone


def _first_chunk(text: str, wrap: Wrap) -> str:
    token = text.split(" ", 1)[0]
    for index, char in enumerate(token):
        if char in wrap.break_after or (wrap.break_after and _is_ideograph(char)):
            return token[: index + 1]
    return token


def _is_ideograph(char: str) -> bool:
    return bool(char) and ("぀" <= char <= "鿿" or "가" <= char <= "힣" or "豈" <= char <= "﫿")
