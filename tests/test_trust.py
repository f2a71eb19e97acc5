"""The trust table, cell by cell."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from aiorch.capture.directive import Source
from aiorch.trust import DEMANDS, SPEAKERS, Demand, Overrides, Speaker, Verdict, allowing, decide, table

ROLES = ("auto", "simple", "sparc", "swarm")
AGENTS = ("claude", "codex")


def verdict(
    source: Source,
    *types: str,
    known: bool = True,
    altered: bool = False,
    hosts: bool = False,
    worker: bool = False,
    overrides: Overrides | None = None,
) -> Verdict:
    return decide(
        source=source,
        known_agent=known,
        altered=altered,
        types=types or ("sparc",),
        role_types=ROLES,
        agent_types=AGENTS,
        hosts=hosts,
        from_worker=worker,
        overrides=overrides,
    ).verdict


class Row(NamedTuple):
    test_id: str
    source: Source
    known: bool
    roles: str
    altered: str
    agent: str
    own_type: str
    host: str
    shell: str


ROWS = [
    Row("keys", Source.KEY, False, "run", "run", "run", "run", "run", "run"),
    Row("cli", Source.CLI, False, "run", "run", "run", "run", "run", "run"),
    Row("mcp", Source.MCP, True, "run", "run", "run", "run", "run", "run"),
    Row("transcript", Source.TRANSCRIPT, True, "run", "ask", "run", "ask", "ask", "ask"),
    Row("screen", Source.SCREEN, True, "run", "ask", "ask", "ask", "ask", "ask"),
    Row("plain", Source.PLAIN, False, "ask", "ask", "ask", "ask", "ask", "refuse"),
    Row("plain-in-agent", Source.PLAIN, True, "ask", "ask", "ask", "ask", "ask", "refuse"),
    Row("screen-of-unknown", Source.SCREEN, False, "ask", "ask", "ask", "ask", "ask", "refuse"),
    Row("transcript-of-unknown", Source.TRANSCRIPT, False, "ask", "ask", "ask", "ask", "ask", "refuse"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.test_id)
def test_every_cell(row: Row) -> None:
    def ask(*types: str, altered: bool = False, hosts: bool = False) -> str:
        return verdict(row.source, *types, known=row.known, altered=altered, hosts=hosts)

    assert ask("simple", "sparc", "swarm", "auto") == row.roles
    assert ask("sparc", altered=True) == row.altered
    assert ask("sparc", "codex") == row.agent
    assert ask("sparc", "mine") == row.own_type
    assert ask("sparc", hosts=True) == row.host
    assert ask("sparc", "shell") == row.shell


@pytest.mark.parametrize("source", Source)
def test_worker_is_refused_whatever_way_it_asks(source: Source) -> None:
    assert verdict(source, worker=True) is Verdict.REFUSE


def test_strictest_demand_wins() -> None:
    assert verdict(Source.PLAIN, "mine", "shell", "sparc", hosts=True) is Verdict.REFUSE


def test_role_that_was_made_shell_by_its_name_is_still_shell() -> None:
    result = decide(
        source=Source.PLAIN,
        known_agent=False,
        altered=False,
        types=["shell"],
        role_types=["shell"],
        agent_types=["shell"],
        hosts=False,
        from_worker=False,
    )
    assert result.verdict is Verdict.REFUSE


def test_every_cell_can_be_changed() -> None:
    for who in Speaker:
        for what in Demand:
            for wanted in Verdict:
                rows = table({who: {what: wanted}})
                row = next(row for row in rows if row[0] == SPEAKERS[who])
                assert row[1 + list(Demand).index(what)] == wanted


def test_changed_cell_is_used() -> None:
    trusting: Overrides = {Speaker.PLAIN: {Demand.ROLES: Verdict.RUN}}
    assert verdict(Source.PLAIN, overrides=trusting) is Verdict.RUN
    assert verdict(Source.PLAIN, "codex", overrides=trusting) is Verdict.ASK
    strict: Overrides = {Speaker.USER: {Demand.ROLES: Verdict.ASK}}
    assert verdict(Source.CLI, "codex", overrides=strict) is Verdict.ASK


def test_reason_names_who_and_what() -> None:
    reason = decide(
        source=Source.PLAIN,
        known_agent=False,
        altered=False,
        types=["shell"],
        role_types=ROLES,
        hosts=False,
        from_worker=False,
        overrides={},
    ).reason
    assert reason == "a pane that runs some other program; Aider's history; a sandbox: type shell → refuse"


def test_table_is_complete() -> None:
    rows = table()
    assert len(rows) == 1 + len(SPEAKERS) == 1 + len(Speaker)
    assert all(len(row) == 1 + len(DEMANDS) == 1 + len(Demand) for row in rows)


def test_judgement_tells_which_cells_asked() -> None:
    found = decide(
        source=Source.SCREEN,
        known_agent=True,
        altered=True,
        types=["sparc", "codex", "mine"],
        role_types=ROLES,
        agent_types=AGENTS,
        hosts=False,
        from_worker=False,
    )
    assert found.who is Speaker.SCREEN
    assert found.demands == (Demand.ROLES, Demand.ALTERED, Demand.AGENTS, Demand.POWERS)
    assert found.asks == (Demand.ALTERED, Demand.AGENTS, Demand.POWERS)


def test_cells_that_are_allowed_run_and_their_neighbours_go_on_asking() -> None:
    allowed = allowing({}, [(Speaker.PLAIN, Demand.ROLES), (Speaker.SCREEN, Demand.AGENTS)])
    assert verdict(Source.PLAIN, overrides=allowed) is Verdict.RUN
    assert verdict(Source.PLAIN, "codex", overrides=allowed) is Verdict.ASK
    assert verdict(Source.SCREEN, "codex", known=True, overrides=allowed) is Verdict.RUN
    assert verdict(Source.SCREEN, "mine", overrides=allowed) is Verdict.ASK


@pytest.mark.parametrize("what", Demand)
@pytest.mark.parametrize("who", Speaker)
def test_no_cell_that_refuses_is_ever_allowed(who: Speaker, what: Demand) -> None:
    refusing: Overrides = {who: {what: Verdict.REFUSE}}
    assert allowing(refusing, [(who, what)]) == refusing
    assert allowing({}, [(Speaker.PLAIN, Demand.SHELL), (Speaker.WORKER, Demand.SHELL)]) == {}


def test_a_worker_is_allowed_something_only_where_it_may_delegate() -> None:
    allowed = allowing({}, [(Speaker.WORKER, Demand.AGENTS)])
    assert verdict(Source.CLI, "codex", worker=True, overrides=allowed) is Verdict.REFUSE
    found = decide(
        source=Source.CLI,
        known_agent=True,
        altered=False,
        types=["codex"],
        role_types=ROLES,
        agent_types=AGENTS,
        hosts=False,
        from_worker=True,
        nested=True,
        overrides=allowed,
    )
    assert found.verdict is Verdict.RUN
