"""One run put together: the journal, the primary, the crew and the columns of one session."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from aiorch import paths
from aiorch.capture.directive import Directive, Sighting
from aiorch.capture.fuse import Outcome, Repeat
from aiorch.engine.acknowledge import Acknowledgements
from aiorch.engine.approval import Approval
from aiorch.engine.columns import Columns
from aiorch.engine.crew import Crew
from aiorch.engine.delivery import Delivery
from aiorch.engine.intake import Intake
from aiorch.engine.isolation import Isolation
from aiorch.engine.keeper import tell_unsure
from aiorch.engine.letters import open_door
from aiorch.engine.post import Post
from aiorch.engine.primary import Primary
from aiorch.engine.recovery import Recovery
from aiorch.engine.renewal import Renewal, announce, note_place
from aiorch.engine.requests import Requests
from aiorch.engine.scrollback import keep_limit, restore_limit
from aiorch.engine.session_file import Agent
from aiorch.engine.settings import Settings, UserSettings
from aiorch.engine.states import States
from aiorch.engine.steering import Steering
from aiorch.engine.transcripts import Told, Transcripts
from aiorch.engine.upkeep import Upkeep
from aiorch.errors import EngineError, TmuxError, TmuxGoneError
from aiorch.journal import ACTIVE, DirectiveRow, DirectiveState, Journal, Tag
from aiorch.journal.rebuild import UNSURE
from aiorch.launch.exits import ExitWatcher
from aiorch.launch.local import LocalLauncher
from aiorch.paths import RunPaths
from aiorch.tmux.control import ControlClient
from aiorch.tmux.segment import Segment
from aiorch.tmux.session import Session
from aiorch.ui.status import status_text

log = logging.getLogger(__name__)

MAX_TOLD = 20
"""Directives from before the start that the event log names one by one, the last ones."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run is, and what it goes by; `agent` is what the user says runs in the primary, if anything."""

    socket: str
    session: str
    pane: str
    user: UserSettings
    settings: Settings
    agent: str | None = None


class Run:
    """Everything one engine works on; used on its thread only."""

    def __init__(self, origin: Origin, root: Path, control: ControlClient, exits: ExitWatcher) -> None:
        self.paths = RunPaths(root)
        self.paths.create()
        origin.user.keep()
        self.renewal = Renewal(self, origin.user)
        self.socket = origin.socket
        self.settings = origin.settings
        config, profiles, launcher = (
            self.settings.config, self.settings.profiles, LocalLauncher(self.paths.workers)
        )  # fmt: skip
        self.over = False
        self._exits = exits
        self._shown = ""
        self._source = ""
        self._losses = 0
        self.watch: Callable[[Sequence[Path], Sequence[Path]], bool] = lambda _folders, _names: False
        self.journal = Journal(self.paths.journal)
        self.door = open_door(self.journal)
        self.session = Session(control, origin.session)
        self.session.history_limit = config.history_limit
        self.segment = Segment(self.session)
        self.primary = Primary(
            self.session, self.journal, self.paths.logs, origin.pane, profiles, origin.agent
        )
        monitor = paths.own_command("--run", str(root), "monitor")
        self.columns = Columns(self.session, self.journal, origin.pane, config, monitor)
        self.isolation = Isolation(self.journal, self.primary, self.paths.workers, origin.socket, config)
        self.crew = Crew(
            self.session, self.journal, launcher, self.primary, self.columns, config, profiles, exits,
            self.isolation,
        )  # fmt: skip
        self.states = States(self.crew, self.journal, config, profiles)
        self.states.follow = self._watch_files
        self.crew.records.known = self.states.learn
        self.steering = Steering(self.crew, self.journal, launcher, config)
        self.states.park = self.steering.park
        self.recovery = Recovery(
            self.crew, self.steering, self.session, self.journal, launcher, config, profiles, exits
        )
        self.intake = Intake(self.journal, self.crew, self.primary, config, profiles)
        self.approval = Approval(self.journal, self.intake)
        self.intake.acknowledge = Acknowledgements(self.paths.acknowledgements, origin.pane).add
        self.transcripts = Transcripts(self.journal)
        self.upkeep = Upkeep(self.primary, self.journal, self.transcripts, exits, self.read_log, self._see)
        self.delivery = Delivery(
            origin.socket, self.session, self.journal, self.primary, self.crew, profiles
        )  # fmt: skip
        self.post = Post(self.journal, self.crew, self.primary, self.delivery, self.paths.root, config)
        self.requests = Requests(self)

    def begin(self) -> None:
        """Adopt the primary: open the pipe and the columns, and say that we listen.

        The session knows the run before anything is changed, so that one which is killed half-way is taken
        up again; what was half done is undone first.
        """
        self._announce()
        keep_limit(self.session, self.journal)
        self.columns.clear()
        self.recovery.note_boot()
        self._adopt()
        self.upkeep.begin()

    def _adopt(self) -> None:
        """Open pipe and columns around the pane; what it shows by then never runs."""
        self.primary.open()
        agent = self.primary.agent
        self.columns.open(agent.name if agent else "")
        before = self.primary.begin()
        self._listen(before, agent.title if agent else "a program we do not know: its directives ask first")

    def _listen(self, before: Sequence[Sighting], words: str) -> None:
        """Write down that what comes from now on counts, and what came `before` does not."""
        with self.journal.transaction():
            self.transcripts.adopt()
            self.journal.add_event(Tag.LISTENING, f"pane {self.primary.pane}: {words}")
            for sighting in before:
                self.intake.take(sighting)
            self._follow_files()
            self.journal.set_meta("directory", self.primary.working_directory())
            self.journal.set_meta("begun", True)
            self.journal.set_meta(UNSURE, None)

    def take_over(self, *, rerun: bool) -> None:
        """Go on with a run that lost its tmux, around another pane: what it had not read yet comes first.

        `rerun` is the user's word that every worker which was cut off may run once more.
        """
        if self.journal.meta("taking_over") is None:
            with self.journal.transaction():
                for name in ("history", "window", "primary_gone"):
                    self.journal.set_meta(name, None)
                # An engine that is killed on the way is followed by one that goes on here.
                self.journal.set_meta("taking_over", {"rerun": rerun})
        self._announce()
        keep_limit(self.session, self.journal)
        self.columns.clear()
        self.journal.add_event(Tag.LISTENING, "the run goes on after tmux was lost")
        if not tell_unsure(self):
            self._read_rest()
        self._adopt()
        with self.journal.transaction():
            self.recovery.take_over(rerun=rerun)
            self.journal.set_meta("taking_over", None)
        self.upkeep.begin()

    def resume(self) -> None:
        """Take up the run where the last engine left it."""
        if not self.journal.meta("begun"):
            self.begin()
            return
        half = self.journal.meta("taking_over")
        if isinstance(half, dict):
            self.take_over(rerun=bool(half.get("rerun")))
            return
        self._announce()
        keep_limit(self.session, self.journal)
        self.requests.tidy()
        if tell_unsure(self):
            self._listen(self.primary.reopen(here=True), "again, after its journal was damaged")
        else:
            self._read_again()
        self.recovery.reconcile()
        self.upkeep.begin()

    def _read_again(self) -> None:
        """Go on reading where the last engine left it."""
        self.transcripts.restore()
        found = self.primary.reopen()
        words = f"pane {self.primary.pane}: again, after the engine was restarted"
        with self.journal.transaction():
            self.journal.add_event(Tag.LISTENING, words)
            self._tell_trouble()
            # What the screen shows is judged with the session file at hand.
            self._follow_files()
            # Rows may be read in another way than before: what was taken is not taken under another key.
            new = (sighting for sighting in found if isinstance(sighting, Directive))
            self._see([sighting for sighting in new if not self.journal.has_payload(sighting.payload)])

    def _read_rest(self) -> None:
        """Take what the pane that is gone had printed and nobody had read."""
        self.transcripts.restore()
        with self.journal.transaction():
            left = self.primary.read_rest()
            # A session file says it exactly, and is read when the agent is followed.
            for sighting in () if self.transcripts.had_file else left:
                self.intake.take(sighting)

    def reattach(self, control: ControlClient) -> None:
        """Go on with another control client after the first was detached; the session is still there."""
        self.session.control = control
        self._shown = ""
        self._announce()
        self.states.look_anew()

    @property
    def due(self) -> float | None:
        """Return when `pass_time` has something to do (seconds since the epoch)."""
        times = (
            *(self.transcripts.due, self.primary.look_at, self.upkeep.due, self.renewal.due),
            *(self.crew.records.due, self.isolation.overlaps.due, self.delivery.due),
        )
        return min((at for at in times if at is not None), default=None)

    def read_log(self) -> None:
        """Take what is new in the primary's log."""
        self.delivery.stir()
        self._follow_agent()
        for cursor, sightings in self.primary.read():
            with self.journal.transaction():
                self._see(sightings)
                self.primary.commit(cursor)
            self.primary.pipe.drop_read(cursor)
        with self.journal.transaction():
            self._follow_files()
            if self.primary.wants_settle:
                # There is time until the pane counts as silent: what is found now is not looked for then.
                self._tell(self.transcripts.look(haste=True))

    def read_files(self) -> None:
        """Take what is new in the agent's own session files."""
        self.states.read_records()
        with self.journal.transaction():
            self._tell(self.transcripts.read())
            self._follow_files()

    def pass_time(self) -> None:
        """Look again for the agent and its files, decide about what they have not said, mend the log."""
        self.upkeep.pass_time()
        self.renewal.pass_time()
        self.crew.records.pass_time()
        self.isolation.overlaps.pass_time()
        self.delivery.pass_time()
        with self.journal.transaction():
            if self.primary.look_at is not None:
                self._follow_agent()
            self._tell(self.transcripts.expire())
            self._tell(self.transcripts.read())
            self._follow_files()

    def look(self) -> None:
        """Take what workers' panes were seen to show."""
        self.states.look()
        self.delivery.stir()

    def processes_ended(self, pids: Sequence[int]) -> None:
        """Take note that workers' processes, or the one that writes the primary's log, are gone."""
        self.crew.ended([pid for pid in pids if not self.upkeep.ended(pid)])

    def settle(self) -> None:
        """Take what counts only once the pane is silent."""
        with self.journal.transaction():
            self._see(self.primary.settle())
            self._note_losses()

    def show(self) -> None:
        """Bring the status text up to date, and log the number of workers when it changed."""
        counts = self.journal.counts()
        working = sum(counts.get(state, 0) for state in ACTIVE)
        counted = f"{working} working of {sum(counts.values())}"
        noted = self.journal.meta("counted")
        if counts and noted != [working, counted]:
            self.journal.set_meta("counted", [working, counted])
            # Told when workers were added and when the last one has ended; the status bar has every step.
            if working == 0 or not isinstance(noted, list) or working > noted[0]:
                self.journal.add_event(Tag.WORKERS, counted)
        asking = self.journal.asking()
        alarm = self.upkeep.alarm or ("config" if self.renewal.problem else "")
        text = status_text(counts, asking, self.settings.style, alarm=alarm)
        if text != self._shown and not self.over:
            self._shown = text
            self.segment.show(text)
        self.crew.notifier.send()
        self.journal.publish()

    def asking(self) -> list[DirectiveRow]:
        """Return the directives that wait for the user's answer."""
        return self.journal.directives(DirectiveState.ASKING)

    def tmux_changed(self, line: str | None) -> None:
        """React to a notification: sizes may have changed, panes or the whole session may be gone."""
        if line is None or line.startswith("%exit"):
            raise TmuxGoneError("the control client ended")
        self.columns.keep_strip()
        if not self.primary.follow_size() and not self.journal.meta("primary_gone"):
            self.journal.set_meta("primary_gone", True)
            self.journal.add_event(
                Tag.ERROR, "the primary pane is gone: no directives can come from it; workers go on"
            )

    def stop(self) -> None:
        """Stop all workers and put everything in tmux back as it was.

        The session forgets the run last of all: an engine that is killed on the way comes back and goes on.
        """
        self.journal.add_event(Tag.STOPPED, "by the user")
        self.isolation.stop()
        self.steering.stop()
        # The session ends with its last pane, and that may be one of ours.
        with suppress(TmuxError):
            self._leave()
        self.journal.set_meta("stopped", time.time())
        self.journal.publish()
        self.over = True

    def _announce(self) -> None:
        """Let tmux know this engine, and note where the run is for those who cannot ask tmux."""
        announce(self.session, self.socket, self.paths.root)
        note_place(self.session, self.socket, self.primary.pane, self.paths, self.door)

    def _leave(self) -> None:
        self.door.close()
        self.segment.finish()
        self.primary.close()
        self.columns.close()
        restore_limit(self.session)
        self.session.forget("@aiorch_client", "@aiorch_revive", "@aiorch_engine", "@aiorch_run")

    def close(self) -> None:
        """Close files; tmux is left as it is."""
        self.journal.close()

    def _follow_agent(self) -> None:
        if self.primary.follow_agent():
            agent = self.primary.agent
            words = f"pane {self.primary.pane}: {agent.title if agent else 'no agent'}"
            self.journal.add_event(Tag.LISTENING, words)
            with self.journal.transaction():
                self._follow_files()

    def _follow_files(self) -> None:
        """Follow the files of the agent that runs now, and look again for them."""
        profile, running = self.primary.agent, self.primary.running
        # One that is only said to be here (it may be behind an ssh) has no process.
        pid, ticks = (running.pid, running.ticks) if running else (0, 0)
        self._tell(self.transcripts.follow(Agent(profile.name, pid, ticks) if profile else None))
        self._tell(self.transcripts.look())
        self._note_source()
        self._watch_files()

    def _watch_files(self) -> None:
        """Watch the folders of the lead's session files, and of what the workers' agents keep."""
        folders, names = self.transcripts.watched
        more, others = self.states.watched
        if self.watch([*dict.fromkeys([*folders, *more])], [*names, *others]):
            self.transcripts.watching()

    def _see(self, sightings: Sequence[Sighting]) -> None:
        """Take what the pane shows; what a program just before the agent printed is not the agent's."""
        if self.primary.is_new:
            sightings = [
                replace(one, altered=True) if isinstance(one, Directive) else one for one in sightings
            ]
        self._tell(self.transcripts.screen(sightings))

    def _tell(self, told: Iterable[Told]) -> None:
        for each in told:
            self._note_source()
            self.primary.enter(each.conversation)
            self._take(each.outcomes)
        self.transcripts.commit()

    def _note_source(self) -> None:
        """Tell where directives come from, when that has changed."""
        words = self.transcripts.description
        if words == self._source:
            return
        self._source = words
        if self.journal.meta("source") != words:
            self.journal.set_meta("source", words)
            if self.transcripts.worth_telling:
                self.journal.add_event(Tag.LISTENING, f"directives are read from {words}")

    def _tell_trouble(self) -> None:
        """Tell what kept us from working, as whoever started this engine noted it."""
        if self.renewal.problem:
            self.journal.add_event(Tag.ERROR, f"{self.renewal.problem}: the settings from before stay")
        with suppress(OSError):
            self.journal.add_event(Tag.ERROR, self.paths.trouble.read_text().strip())
            self.paths.trouble.unlink()

    def _note_losses(self) -> None:
        """Tell that the emulator failed: the first time, and each time that it was twice as often."""
        losses = self.primary.reader.losses
        if losses >= 2 * self._losses and losses > 0:
            self._losses = losses
            times = f" ({losses} times by now)" * (losses > 1)
            text = f"the screen of the primary was lost and is read anew from tmux{times}: a directive"
            self.journal.add_event(Tag.ERROR, f"{text} that was being printed may be missing")

    def _take(self, outcomes: Sequence[Outcome]) -> None:
        untold = sum(isinstance(each, Repeat) for each in outcomes) - MAX_TOLD
        if untold > 0:
            text = f"{untold} more directives that are not to run are in {self.transcripts.description}"
            self.journal.add_event(Tag.IGNORED, text)
        for sighting in outcomes:
            try:
                if isinstance(sighting, Repeat):
                    self.intake.note_repeat(sighting, quiet=untold > 0)
                    untold -= 1
                else:
                    self.intake.take(sighting)
            except (ValueError, RecursionError, OSError) as error:
                # Read again it would fail again: an engine that starts anew must not meet it for ever.
                log.exception("a directive could not be taken")
                self.journal.add_event(Tag.ERROR, f"a directive could not be taken: {error!r:.200}")


def check_pane(session: Session, pane: str) -> None:
    """Raise EngineError when the pane is one of ours: a worker cannot be a primary."""
    info = session.pane(pane)
    if info is not None and info.role in ("worker", "monitor", "placeholder"):
        raise EngineError(f"pane {pane} is a {info.role} of a run and cannot be a primary")
