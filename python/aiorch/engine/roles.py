"""Programs that may run a role: tried on a thread of their own before the first worker that it concerns."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from aiorch import paths
from aiorch.config import Config
from aiorch.journal import WorkerRow
from aiorch.workers.profile import AgentProfile
from aiorch.workers.role_trial import Proof, Proofs
from aiorch.workers.types import role_runner

log = logging.getLogger(__name__)


class Roles:
    """What is known of the programs that may run roles; called on the engine's thread only.

    `wake` is called on another thread when a trial is over.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._proofs = Proofs(paths.state_dir() / "roles.json")
        self._known: dict[tuple[str, str], Proof | None] = {}

    def startable(
        self, rows: Sequence[WorkerRow], profiles: Mapping[str, AgentProfile], config: Config, path: str
    ) -> list[WorkerRow]:
        """Return those of the workers for whom it is known what runs them; find it out for the others."""
        found = []
        for row in rows:
            program = role_runner(row.type, profiles, config, path)
            if program is None or self._is_known(program, row.type, path):
                found.append(row)
        return found

    def runs(self, program: AgentProfile, role: str) -> bool:
        """Return whether a program was seen to run a role."""
        proof = self._known.get((program.program, role))
        return proof is not None and proof.runs

    def _is_known(self, program: AgentProfile, role: str, path: str) -> bool:
        key = program.program, role
        if key not in self._known:
            self._known[key] = self._proofs.of(program, role)
            if self._known[key] is None:
                threading.Thread(target=partial(self._try, program, role, path), daemon=True).start()
        return self._known[key] is not None

    def _try(self, program: AgentProfile, role: str, path: str) -> None:
        try:
            proof = self._proofs.settle(program, role, path)
        except Exception as error:
            log.exception("%s cannot be tried", program.title)
            proof = Proof(str(error))
        self._known[program.program, role] = proof
        self._wake()
