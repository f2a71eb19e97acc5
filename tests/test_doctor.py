"""`aiorch doctor` in a real tmux: a healthy run, and everything that can be wrong, provoked and healed."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.actor import CONFIG, Actor, directive
from support.damage import overwrite, pages_of, settle_log
from support.doctor import Found, doctor, forget_hooks, heal, load_plugin, shell
from support.lab import STEP, Lab, alive, until


def gone(lab: Lab, area: str, text: str) -> None:
    """Wait until nothing in an area says this any more."""
    until(lambda: not any(text in one["text"] for one in doctor(lab).of(area)), f"no more: {text}")


def told(lab: Lab, area: str, text: str) -> Found:
    """Wait until the doctor says this, and return all that it found then."""

    def look() -> Found | None:
        found = doctor(lab)
        return found if any(text in one["text"] for one in found.of(area)) else None

    found = until(look, f"it says: {text}")
    assert found is not None
    return found


def writer_of(lab: Lab) -> int:
    return int((lab.run / "pipe.pid").read_text())


def test_a_healthy_run_has_nothing_wrong(agent_lab: Lab) -> None:
    lab = agent_lab
    load_plugin(lab)
    actor = Actor(lab)
    lab.start(CONFIG)
    actor.both(directive("echo hi"))
    until(lambda: [str(row.state) for row in lab.workers().values()] == ["done"], "the worker is done")
    found = doctor(lab)
    assert found.code == 0
    assert found.problems == []
    # What the tmux under test is known for is no fault of the run.
    assert {one["area"] for one in found.findings if one["level"] != "ok"} <= {"versions"}
    session = found.session
    assert session["is_this_one"] and session["primary"] == "%0" and session["agent"] == "claude"
    assert session["served_by"] == "a session file" and session["session_files"] == [str(actor.file)]
    assert session["pane"] == {
        "there": True,
        "pipe": "ours",
        "owner": lab.engine_pids()[0],
        "writer": writer_of(lab),
    }
    assert session["engine"]["pid"] == lab.engine_pids()[0]
    assert session["engine"]["memory"] > 1 << 20 and session["engine"]["processor_time"] > 0
    assert session["workers"] == {"done": 1}
    assert found.facts["key"]["is_ours"] and found.facts["status_bar"]["stands_in"] == ["status-right"]
    assert [one["name"] for one in found.facts["agents"]["found"]] == ["claude"]


def test_people_get_facts_the_trust_table_and_findings_last(lab: Lab) -> None:
    lab.start(STEP)
    lab.run.chmod(0o755)
    done = shell(lab, "aiorch doctor")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    heads = [line for line in lines if re.match(r"[A-Z]", line)]
    assert heads[0] == "Versions"
    assert heads[-2:] == ["Who may do what by itself (run, ask first, or refuse)", "Findings"]
    # Commands and paths are to be copied: they are not broken.
    assert [line for line in lines if len(line) > 80 and "/" not in line] == []
    assert f"chmod 700 {lab.run}" in done.stdout
    assert re.fullmatch(r"\d+ problems?, \d+ notes?", lines[-1])
    assert "\x1b" not in done.stdout


def test_a_taken_key_is_told_with_a_free_one(lab: Lab) -> None:
    lab.tmux("bind-key", "-T", "prefix", "O", "run-shell", "/home/me/.tmux/plugins/tmux-sessionx/go.sh")
    load_plugin(lab)
    finding = doctor(lab).one("key", "prefix O is taken by tmux-sessionx")
    heal(lab, finding)
    found = doctor(lab)
    assert found.of("key") == [] and found.facts["key"] | {"key": "A", "is_ours": True} == found.facts["key"]


def test_a_key_that_is_bound_anew_after_us_is_told(lab: Lab) -> None:
    load_plugin(lab)
    lab.tmux("bind-key", "-T", "prefix", "O", "display-message", "mine")
    assert doctor(lab).one("key", "prefix O is taken by display-message mine")
    lab.tmux("unbind-key", "-T", "prefix", "O")
    heal(lab, doctor(lab).one("key", "prefix O does nothing"))
    assert doctor(lab).of("key") == []


def test_a_plugin_that_is_not_loaded_is_told(lab: Lab) -> None:
    finding = doctor(lab).one("key", "the plugin is not loaded")
    assert finding["level"] == "note"
    heal(lab, finding)
    assert doctor(lab).of("key") == []


def test_a_misspelt_option_is_told_with_the_right_one(lab: Lab) -> None:
    load_plugin(lab)
    lab.tmux("set-option", "-g", "@aiorch-max-worker", "7")
    found = doctor(lab)
    assert found.code == 1
    assert {"name": "@aiorch-max-worker", "value": "7"} in found.facts["options"]["changed"]
    heal(lab, found.one("options", "@aiorch-max-workers is meant?"))
    found = doctor(lab)
    assert found.of("options") == []
    assert found.facts["options"]["changed"] == [{"name": "@aiorch-max-workers", "value": "7"}]


def test_a_value_that_says_nothing_is_told_with_what_is_taken(lab: Lab) -> None:
    load_plugin(lab)
    lab.tmux("set-option", "-g", "@aiorch-max-workers", "lots")
    finding = doctor(lab).one("options", '@aiorch-max-workers is "lots": max_workers of config.toml is taken')
    heal(lab, finding)
    lab.tmux("set-option", "-t", "m", "@aiorch-status-style", "fancy")
    heal(lab, doctor(lab).one("options", '@aiorch-status-style is "fancy": unicode is taken'))
    found = doctor(lab)
    assert found.of("options") == [] and found.facts["options"]["changed"] == []
    # A digit for people that is none for programs.
    lab.tmux("set-option", "-g", "@aiorch-min-rows", "²")
    assert doctor(lab).one("options", "min_rows of config.toml is taken")
    lab.start(STEP)


def test_a_status_right_without_the_segment_is_told(lab: Lab) -> None:
    load_plugin(lab)
    lab.tmux("set-option", "-g", "status-right", "%H:%M")
    heal(lab, doctor(lab).one("status bar", "the segment is not in status-right"))
    lab.tmux("set-option", "-g", "status-right-length", "20")
    heal(lab, doctor(lab).one("status bar", "status-right-length is 20"))
    lab.tmux("set-option", "-t", "m", "status-right", "mine")
    heal(lab, doctor(lab).one("status bar", "a status-right of its own"))
    assert doctor(lab).of("status bar") == []


def test_a_lost_engine_is_told_and_started_again(lab: Lab) -> None:
    lab.start(STEP)
    forget_hooks(lab)
    assert doctor(lab).one("sessions", "the hook is gone")
    pid = lab.kill_engine()
    found = doctor(lab)
    assert found.code == 1 and found.session["engine"]["runs"] is False
    heal(lab, found.one("sessions", f"its engine is gone (pid {pid})"))
    assert doctor(lab).of("sessions") == []
    assert lab.engine_pids() != [pid] and alive(lab.engine_pids()[0])


def test_a_stopped_engine_with_a_dead_pipe_is_told(lab: Lab) -> None:
    lab.start(STEP)
    (pid,), writer = lab.engine_pids(), writer_of(lab)
    os.kill(pid, signal.SIGSTOP)
    try:
        os.kill(writer, signal.SIGKILL)
        until(lambda: not alive(writer), "the writer is dead")
        found = doctor(lab)
        assert found.session["pane"]["writer"] is None
        heal(lab, found.one("sessions", "its engine is stopped"))
    finally:
        os.kill(pid, signal.SIGCONT)
    gone(lab, "sessions", "its engine is stopped")
    until(lambda: doctor(lab).session["pane"]["pipe"] == "ours", "the engine has opened the pipe again")


def test_a_pipe_of_somebody_else_is_told(lab: Lab) -> None:
    lab.start(STEP)
    lab.tmux("pipe-pane", "-t", "%0", "cat >/dev/null")
    heal(lab, told(lab, "sessions", "is piped by something else").one("sessions", "is piped by something"))
    until(lambda: doctor(lab).session["pane"]["pipe"] == "ours", "the engine has the pipe again")
    gone(lab, "sessions", "is piped by something else")


def test_a_pane_that_could_not_be_adopted_is_told(lab: Lab) -> None:
    lab.tmux("pipe-pane", "-t", "%0", "cat >/dev/null")
    finding = doctor(lab).one("sessions", "pane %0 is piped by something else")
    heal(lab, finding)
    assert doctor(lab).of("sessions") == []


def test_what_pipes_panes_by_itself_is_noted(lab: Lab) -> None:
    lab.start(STEP)
    lab.tmux("set-hook", "-g", "after-new-window[3]", "pipe-pane 'cat >>/tmp/log'")
    lab.tmux("set-option", "-g", "@resurrect-hook-post-restore-all", "tmux pipe-pane -o 'cat >>log'")
    (finding,) = doctor(lab).of("sessions")
    assert finding["level"] == "note"
    assert "after-new-window[3], @resurrect-hook-post-restore-all pipes panes" in finding["text"]


def test_a_primary_that_is_gone_is_told(lab: Lab) -> None:
    lab.tmux("new-window", "-d", "cat")
    lab.start(STEP)
    lab.tmux("kill-pane", "-t", "%0")
    text = "its primary pane %0 is gone"
    heal(lab, told(lab, "sessions", text).one("sessions", text))
    assert doctor(lab).facts["sessions"]["with_a_run"] == []


def test_directories_that_others_may_read_are_told(lab: Lab) -> None:
    lab.start(STEP)
    state = lab.home / ".local/state/aiorch"
    for path, mode in ((state, 0o755), (lab.run, 0o750)):
        path.chmod(mode)
    finding = doctor(lab).one("paths", "others on this machine may read")
    assert finding["commands"] == [f"chmod 700 {state}", f"chmod 700 {lab.run}"]
    heal(lab, finding)
    (lab.run / "journal.db").chmod(0o644)
    heal(lab, doctor(lab).one("paths", "journal.db"))
    assert doctor(lab).of("paths") == []
    assert [path.stat().st_mode & 0o777 for path in (state, lab.run, lab.run / "journal.db")] == [
        0o700, 0o700, 0o600,
    ]  # fmt: skip


def test_a_state_directory_that_is_none_is_told(lab: Lab) -> None:
    state = lab.home / ".local/state/aiorch"
    state.parent.mkdir(parents=True)
    state.write_text("")
    found = doctor(lab)
    assert found.code == 1
    assert found.one("paths", "is no directory")


def test_a_configuration_that_everybody_may_change_is_told(lab: Lab) -> None:
    lab.configure(STEP)
    path = lab.home / ".config/aiorch/config.toml"
    path.chmod(0o666)
    heal(lab, doctor(lab).one("paths", "everybody on this machine may change"))
    assert doctor(lab).of("paths") == []


def test_mistakes_in_the_configuration_are_told(lab: Lab) -> None:
    lab.configure("max_worker = 3\n")
    finding = doctor(lab).one("configuration", "max_worker")
    assert "config.toml:1" in finding["text"]


def test_a_damaged_journal_is_told_and_saved(lab: Lab) -> None:
    lab.start(STEP)
    root, (pid,) = lab.run, lab.engine_pids()
    # It would meet the damage itself, at some time.
    os.kill(pid, signal.SIGSTOP)
    try:
        settle_log(root / "journal.db")
        overwrite(root / "journal.db", range(1, pages_of(root / "journal.db")))
        found = doctor(lab)
        finding = found.one("sessions", f"the journal of {root} cannot be read")
        assert found.code == 1 and finding["commands"] == [f"kill {pid}"]
        heal(lab, finding)
    finally:
        os.kill(pid, signal.SIGCONT)
    gone(lab, "sessions", "cannot be read")
    until(lambda: doctor(lab).of("sessions", "problem") == [], "the next engine works")
    assert lab.run == root


def test_a_damaged_journal_without_an_engine_is_told_and_saved(lab: Lab) -> None:
    lab.start(STEP)
    root = lab.run
    forget_hooks(lab)
    lab.kill_engine()
    settle_log(root / "journal.db")
    overwrite(root / "journal.db", [0])
    finding = doctor(lab).one("sessions", "cannot be read")
    assert finding["commands"] == ["aiorch start"]
    heal(lab, finding)
    gone(lab, "sessions", "cannot be read")
    assert lab.run == root


def test_a_run_whose_directory_is_gone_is_told(lab: Lab) -> None:
    lab.start(STEP)
    root = lab.run
    root.rename(root.with_name("elsewhere"))
    assert doctor(lab).one("sessions", "the directory of its run is gone")["commands"][-1] == "aiorch start"


def test_a_disk_that_fills_up_is_told(lab: Lab) -> None:
    lab.use_plugin(
        "import os\nreal = os.statvfs\n"
        "def low(path):\n    told = list(real(path))\n    told[4] = 5000\n"
        "    return os.statvfs_result(told)\n"
        "os.statvfs = low\n"
    )
    lab.start(STEP)
    found = doctor(lab)
    finding = found.one("disk", "only 20 MiB are free")
    assert found.code == 1 and finding["level"] == "problem"
    assert finding["commands"] == ["aiorch prune --older-than 7d"]
    heal(lab, finding)


def test_a_run_that_was_cut_off_is_told(lab: Lab) -> None:
    lab.start(STEP)
    lab.delegate(("long", "sleep 60"))
    lab.wait_state(long="working")
    name, pids = lab.run.name, lab.engine_pids()
    lab.tmux("kill-server")
    until(lambda: not any(alive(pid) for pid in pids), "the engine is gone")
    with lab:
        finding = doctor(lab).one("runs", "1 workers unfinished")
        assert finding["commands"] == [f"aiorch resume {name}"]
        lab.tmux("set-option", "-g", "default-shell", "/bin/sh")
        heal(lab, finding)
        assert doctor(lab).of("runs") == []


def test_what_went_wrong_lately_is_told(lab: Lab) -> None:
    lab.start(STEP)
    lab.aiorch("kill", "nobody", check=False)
    with (lab.run / "engine.log").open("a") as log:
        log.write("2000-01-01 00:00:00,000 ERROR aiorch.engine.loop long ago\n")
    found = doctor(lab)
    finding = found.one("sessions", "the last error")
    assert "there is no worker nobody" in finding["text"] and finding["level"] == "note"
    assert "there is no worker nobody" in shell(lab, finding["commands"][0]).stdout
    assert found.session["last_errors"][0]["text"] == "there is no worker nobody in this run"
    assert [one["text"] for one in found.session["engine_log"]] == ["long ago"]
    assert [one for one in found.of("sessions") if "engine.log" in one["text"]] == []


def test_another_run_can_be_named(lab: Lab) -> None:
    lab.start(STEP)
    root = lab.run
    lab.aiorch("stop")
    done = shell(lab, f"aiorch --run {root} doctor --json")
    assert f'"run": "{root}"' in done.stdout


def test_without_tmux_it_still_tells(lab: Lab) -> None:
    empty = lab.root / "empty"
    empty.mkdir()
    found = shell(lab, f"PATH={empty}; {lab.root}/bin/aiorch doctor")
    assert found.stderr == "" and found.returncode == 1
    assert "the program tmux was not found on the PATH" in " ".join(found.stdout.split())


def test_without_a_server_it_still_tells(lab: Lab) -> None:
    done = shell(lab, "aiorch --socket /nowhere/tmux doctor")
    assert done.stderr == ""
    assert "no tmux server runs" in done.stdout


def test_a_session_that_is_not_there_is_told(lab: Lab) -> None:
    done = shell(lab, "aiorch --session nobody doctor")
    assert done.returncode == 1 and done.stderr == ""
    assert "the session was not found" in done.stdout


@pytest.mark.parametrize("library", ["tomli", "watchdog", "libtmux"])
def test_a_library_that_does_not_load_spoils_one_look_at_most(lab: Lab, library: str) -> None:
    lab.use_plugin(f"import sys\nsys.modules[{library!r}] = None\n")
    found = doctor(lab)
    assert found.facts["aiorch"]
    assert {one["area"] for one in found.findings if library in one["text"]} <= {
        "configuration",
        "agents",
        "paths",
    }


def test_a_server_that_does_not_answer_is_told(lab: Lab) -> None:
    pid = int(lab.tmux("display-message", "-p", "#{pid}"))
    words = "import aiorch.tmux.ask as ask\nask.Ask.__init__.__defaults__ = ('', 0.5)\n"
    lab.use_plugin(words)
    line = f"kill -STOP {pid}; aiorch doctor; code=$?; kill -CONT {pid}; exit $code"
    done = shell(lab, line)
    assert done.returncode == 1 and done.stderr == ""
    assert "gave no answer within 0.5 s" in " ".join(done.stdout.split())


def test_nothing_that_others_wrote_reaches_the_terminal_as_it_is(lab: Lab) -> None:
    lab.start(STEP)
    lab.tmux("set-option", "-g", "@aiorch-odd", "\x1b]0;owned\x07")
    with closing(sqlite3.connect(lab.run / "journal.db")) as database, database:
        database.execute("UPDATE events SET tag = 'ERROR', text = ?", ("\x1b[31mred",))
    done = shell(lab, "aiorch doctor")
    assert "@aiorch-odd" in done.stdout and "[31mred" in done.stdout
    assert "\x1b" not in done.stdout and "\x07" not in done.stdout
    assert "\x1b" not in shell(lab, "aiorch doctor --json").stdout


def test_looking_changes_nothing_in_tmux(lab: Lab) -> None:
    load_plugin(lab)
    lab.start(STEP)

    def all_of_it() -> list[str]:
        words = (("-g",), ("-s",), ("-gw",), ("-t", "m"))
        return [lab.tmux("show-options", *one) for one in words] + [lab.tmux("list-keys")]

    before = all_of_it()
    doctor(lab)
    assert all_of_it() == before


def test_the_agent_program_is_not_started(lab: Lab, tmp_path: Path) -> None:
    mark = tmp_path / "started"
    lab.put_program("claude", f"#!/bin/sh\ntouch {mark}\n")
    assert doctor(lab).facts["agents"]["found"][0]["name"] == "claude"
    assert not mark.exists()


def test_no_agent_at_all_is_told(lab: Lab) -> None:
    if any(one["name"] for one in doctor(lab).facts["agents"]["found"]):
        pytest.skip("this machine has agents on its system PATH")
    assert "install one of" in doctor(lab).one("agents", "no agent was found")["remedy"]
