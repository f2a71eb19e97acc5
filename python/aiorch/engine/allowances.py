"""What the user allowed for the rest of a run when asked: such questions are not asked again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import NamedTuple

from aiorch.journal.reading import Reading
from aiorch.trust import Demand, Overrides, Speaker, allowing, words

_META = "allowed"


class Cause(StrEnum):
    """What makes a directive ask."""

    TRUST = "trust"
    APPROVE = "approve"
    FENCED = "fenced"


_CAUSES = {Cause.TRUST: "", Cause.APPROVE: ' (though approve = "ask")', Cause.FENCED: " (in a code fence)"}


class Allowance(NamedTuple):
    """One thing that a question is asked about: what makes it ask, who said it, what is asked for."""

    cause: Cause
    who: Speaker
    what: Demand

    @property
    def words(self) -> str:
        """Return it in the trust table's words."""
        return words((self.who, self.what)) + _CAUSES[self.cause]


class Allowances:
    """What is allowed in one run, kept in its journal, and what each open question is about."""

    def __init__(self, journal: Reading) -> None:
        self._journal = journal

    def overrides(self, base: Overrides) -> Overrides:
        """Return the user's changes of the trust table with what was allowed since."""
        return allowing(base, ((one.who, one.what) for one in self.all() if one.cause is Cause.TRUST))

    def lacking(self, cause: Cause, who: Speaker, demands: Iterable[Demand]) -> list[Allowance]:
        """Return what is still to be asked for one cause, nothing when all of it was allowed."""
        allowed = self.all()
        return [one for what in demands if (one := Allowance(cause, who, what)) not in allowed]

    def all(self) -> list[Allowance]:
        """Return what was allowed, in the order in which it was."""
        return _read(self._journal.meta(_META))

    def add(self, allowances: Iterable[Allowance]) -> list[Allowance]:
        """Allow these for the rest of the run and return those that are new."""
        before = self.all()
        new = [one for one in dict.fromkeys(allowances) if one not in before]
        self._journal.set_meta(_META, [*before, *new])
        return new

    def note_question(self, number: int, about: Collection[Allowance]) -> None:
        """Remember what the question about a directive is about."""
        self._journal.set_meta(f"asks of #{number}", list(about))

    def question(self, number: int) -> list[Allowance]:
        """Return what the question about a directive is about, nothing when it cannot be allowed for good."""
        return _read(self._journal.meta(f"asks of #{number}"))


def _read(value: object) -> list[Allowance]:
    """Return what the journal holds; what another version wrote and we do not know is left out."""
    found = []
    for one in value if isinstance(value, list) else []:
        try:
            cause, who, what = one
            found.append(Allowance(Cause(cause), Speaker(who), Demand(what)))
        except (ValueError, TypeError):
            continue
    return found
