"""The main path: a directive on the primary becomes workers in panes, and their end is known."""

from __future__ import annotations

import itertools
import json
import sys

from conftest import LabMaker
from support.lab import ECHO, REPO, STEP, Lab, until

TASK = {"task": "Build a REST API with authentication"}
THREE = [("a", "sleep 60"), ("b", "sleep 60"), ("c", "sleep 60")]


def test_printed_directive_in_plain_pane_asks_then_runs(lab: Lab) -> None:
    lab.start('default_type = "step"\n' + STEP)
    lab.say(TASK)
    lab.wait_told("ASKING", "start 3 workers?")
    assert not lab.workers()
    assert "1 ?" in lab.tmux("display-message", "-p", "-t", "m", "#{AIORCH_STATUS}")
    lab.aiorch("approve")
    until(
        lambda: set(lab.workers()) == {"api-routes", "auth-system", "testing"},
        "the three workers of the rules",
    )
    lab.wait_told("RECEIVED", "Task: Build a REST API with authentication")
    lab.wait_told("SPAWNING", "3 workers")
    for name, row in lab.workers().items():
        lab.wait_told("SPAWNED", f"{name} in pane {row.pane}")


def test_declined_directive_never_runs(lab: Lab) -> None:
    lab.start()
    lab.say(TASK)
    lab.wait_told("ASKING")
    lab.aiorch("decline", "--all")
    lab.wait_told("IGNORED", "declined")
    assert not lab.workers()
    assert lab.aiorch("approve", check=False).returncode != 0


def test_workers_stand_in_right_column_and_focus_stays(lab: Lab) -> None:
    lab.start()
    before = lab.tmux("display-message", "-p", "-t", "m", "#{pane_id} #{window_id}")
    lab.delegate(*THREE)
    lab.wait_state(a="working", b="working", c="working")
    until(lambda: "placeholder" not in [p[0] for p in lab.panes("@aiorch_role")], "the placeholder is gone")
    fields = ("@aiorch_role", "@aiorch_name", "pane_left", "pane_top", "pane_height", "pane_width")
    rows = [row for row in lab.panes(*fields) if row[0] == "worker"]
    assert [row[1] for row in sorted(rows, key=lambda row: int(row[3]))] == ["a", "b", "c"]
    assert {row[2] for row in rows} == {"108"}
    heights = [int(row[4]) for row in rows]
    assert max(heights) - min(heights) <= 2, heights
    assert lab.tmux("display-message", "-p", "-t", "m", "#{pane_id} #{window_id}") == before
    widths = [int(row[5]) for row in lab.panes(*fields) if row[0] in ("primary", "monitor")]
    assert max(widths) - min(widths) <= 1


def test_labels_show_in_borders_and_titles_stay_the_agents_own(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", "printf '\\033]2;my own title\\007'; sleep 60"))
    lab.wait_state(a="working")
    pane = lab.workers()["a"].pane
    until(
        lambda: lab.tmux("display-message", "-p", "-t", pane, "#{pane_title}") == "my own title", "its title"
    )
    form = lab.tmux("show-options", "-wv", "-t", "m", "pane-border-format")
    assert "a" in lab.tmux("display-message", "-p", "-t", pane, form)
    assert "step" in lab.tmux("display-message", "-p", "-t", pane, form)


def test_done_and_failed_are_told_with_exit_status(lab: Lab) -> None:
    lab.start()
    lab.delegate(("good", "echo all is well"), ("bad", "exit 2"), ("shot", "kill -9 $$"))
    lab.wait_state(good="done", bad="failed", shot="failed")
    lab.wait_told("DONE", "good")
    lab.wait_told("FAILED", "bad: exit 2")
    lab.wait_told("FAILED", "shot: signal 9")
    assert lab.workers()["good"].result == "all is well"
    status = lab.tmux("display-message", "-p", "-t", "m", "#{AIORCH_STATUS}")
    until(lambda: "2 ✖" in lab.tmux("display-message", "-p", "-t", "m", "#{AIORCH_STATUS}"), status)


def test_result_file_is_the_result(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", 'echo noise; echo "the answer" >"$AIORCH_RESULT"'))
    lab.wait_state(a="done")
    assert lab.workers()["a"].result == "the answer"


def test_failed_worker_is_tried_again_in_its_pane(lab: Lab) -> None:
    lab.start("retries = 1\nretry_delay = 0.1\n" + STEP)
    lab.delegate(("a", "test $AIORCH_ATTEMPT = 2"))
    lab.wait_state(a="done")
    lab.wait_told("FAILED", "a: exit 1")
    lab.wait_told("RETRYING", "a: attempt 2 of 2")
    assert lab.workers()["a"].attempt == 2
    assert [row[0] for row in lab.panes("@aiorch_role")].count("worker") == 1


def test_retry_and_kill_by_command(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", "test $AIORCH_ATTEMPT = 2"), ("b", "sleep 60"))
    lab.wait_state(a="failed", b="working")
    assert lab.aiorch("retry", "b", check=False).returncode != 0
    lab.aiorch("retry", "a")
    lab.wait_state(a="done")
    lab.aiorch("kill", "b")
    lab.wait_state(b="killed")


def test_cap_holds_workers_back_until_a_place_is_free(lab: Lab) -> None:
    lab.start("max_workers = 2\n" + STEP)
    gate = lab.root / "gate"
    lab.delegate(*[(name, f"while [ ! -e {gate} ]; do sleep 0.05; done") for name in "abcd"])
    lab.wait_state(a="working", b="working", c="queued", d="queued")
    lab.wait_told("QUEUED", "2 waiting")
    gate.touch()
    lab.wait_state(a="done", b="done", c="done", d="done")


def test_order_given_by_the_lead_is_kept(lab: Lab) -> None:
    lab.start()
    first = {"name": "first", "type": "step", "task": "exit 1"}
    then = {"name": "then", "type": "step", "task": "true", "after": ["first"]}
    lab.delegate(first, then, ("other", "true"))
    lab.wait_state(first="failed", then="skipped", other="done")
    lab.wait_told("SKIPPED", "then: first failed")


def test_a_chain_that_is_hopeless_ends_at_once_while_others_start(lab: Lab) -> None:
    lab.start("max_workers = 2\n" + STEP)
    gate = lab.root / "gate"
    first = {"name": "first", "type": "step", "task": f"while [ ! -e {gate} ]; do sleep 0.02; done; exit 1"}
    chain = [
        {"name": name, "type": "step", "task": "true", "after": [before]}
        for before, name in itertools.pairwise(["first", "second", "third", "fourth"])
    ]
    waiting = [(f"w{number}", "sleep 60") for number in range(3)]
    lab.delegate(first, *chain, *waiting)
    lab.wait_state(first="working", w0="working", w1="queued")
    gate.touch()
    lab.wait_state(first="failed", second="skipped", third="skipped", fourth="skipped", w1="working")
    assert lab.workers()["w2"].state == "queued"


def test_task_reaches_the_program_as_one_exact_argument(lab: Lab) -> None:
    lab.start(ECHO)
    task = "two  blanks 'quote' \"double\" $HOME `id` #{pid} #(touch /tmp/x) %H ; \\ \n second line é 漢 @1"
    lab.delegate({"name": "a", "type": "echo", "task": task})
    lab.wait_state(a="done")
    shown = lab.tmux("capture-pane", "-p", "-J", "-t", lab.workers()["a"].pane)
    assert shown.startswith(task.replace(" \n", " \n"))
    commands = "".join(row[0] for row in lab.panes("pane_start_command"))
    assert "blanks" not in commands


def test_worker_gets_directory_and_environment_of_the_lead(make_lab: LabMaker) -> None:
    value = "a 'value' with $signs; and\nlines"
    lab = make_lab(project="a #{x} 'project' dir", env={"AIORCH_TEST_VALUE": value})
    lab.start()
    lab.delegate(("a", 'printf %s "$AIORCH_TEST_VALUE" >"$AIORCH_RESULT"'), ("b", 'pwd >"$AIORCH_RESULT"'))
    lab.wait_state(a="done", b="done")
    assert lab.workers()["a"].result == value
    assert lab.workers()["b"].result == str(lab.project)


def test_workers_that_do_not_fit_go_to_an_overflow_window(make_lab: LabMaker) -> None:
    lab = make_lab(size=(160, 30))
    lab.start("max_workers = 12\nmin_rows = 6\n" + STEP)
    names = [f"w{index}" for index in range(9)]
    lab.delegate(*[(name, "sleep 60") for name in names])
    lab.wait_state(**dict.fromkeys(names, "working"))
    until(lambda: not any(row[0] == "placeholder" for row in lab.panes("@aiorch_role")), "no placeholder")
    rows = [row for row in lab.panes("@aiorch_role", "window_id", "pane_height") if row[0] == "worker"]
    assert len({row[1] for row in rows}) == 3
    until(
        lambda: all(
            int(r[2]) >= 5 for r in lab.panes("@aiorch_role", "window_id", "pane_height") if r[0] == "worker"
        ),
        "no pane below the minimum height",
    )
    assert lab.tmux("display-message", "-p", "-t", "m", "#{window_width}x#{window_height}") == "160x30"


def test_narrow_window_gets_a_strip_instead_of_three_columns(make_lab: LabMaker) -> None:
    lab = make_lab(size=(80, 24))
    lab.start()
    lab.delegate(*THREE)
    lab.wait_state(a="working", b="working", c="working")
    rows = {row[0]: row[1:] for row in lab.panes("@aiorch_role", "pane_width", "pane_left", "window_index")}
    assert rows["monitor"][0] == "80"
    assert int(rows["primary"][0]) >= 39
    assert {row[1] for row in lab.panes("@aiorch_role", "window_index") if row[0] == "worker"} == {"0"}


def test_monitor_tells_the_story_and_closing_it_stops_nothing(lab: Lab) -> None:
    lab.start()
    (monitor,) = [row[0] for row in lab.panes("pane_id", "@aiorch_role") if row[1] == "monitor"]
    lab.delegate(("a", "true"))
    lab.wait_state(a="done")
    until(
        lambda: "[DONE] a" in lab.tmux("capture-pane", "-p", "-J", "-t", monitor), "the story in the column"
    )
    lab.tmux("kill-pane", "-t", monitor)
    lab.delegate(("b", "true"))
    lab.wait_state(b="done")
    lab.aiorch("--session", "m", "status")


def test_status_and_log_can_be_read_by_programs(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", "exit 3"))
    lab.wait_state(a="failed")
    status = json.loads(lab.aiorch("status", "--json").stdout)
    (worker,) = status["workers"]
    assert (worker["name"], worker["state"], worker["status"]) == ("a", "failed", 3)
    lines = [json.loads(line) for line in lab.aiorch("log", "--json").stdout.splitlines()]
    assert {"tag": "FAILED", "text": "a: exit 3"}.items() <= lines[-2].items() | lines[-1].items()


def test_panes_of_done_workers_make_room_for_new_ones(make_lab: LabMaker) -> None:
    lab = make_lab(size=(160, 30))
    lab.start("max_workers = 9\nmin_rows = 8\n" + STEP)
    lab.delegate(("a", "true"), ("b", "exit 1"), ("c", "true"))
    lab.wait_state(a="done", b="failed", c="done")
    kept = lab.workers()["b"].pane
    lab.delegate(("d", "sleep 60"), ("e", "sleep 60"))
    lab.wait_state(d="working", e="working")
    rows = [
        row
        for row in lab.panes("@aiorch_role", "@aiorch_name", "window_index", "pane_id")
        if row[0] == "worker"
    ]
    assert {row[1] for row in rows} == {"b", "d", "e"}
    assert {row[2] for row in rows} == {"0"}
    assert kept in {row[3] for row in rows}


def test_tidy_closes_finished_workers_and_keeps_the_column(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", "true"), ("b", "false"))
    lab.wait_state(a="done", b="failed")
    lab.aiorch("tidy")
    until(
        lambda: [row[0] for row in lab.panes("@aiorch_role")].count("worker") == 0,
        "the workers' panes are closed",
    )
    assert [row[0] for row in lab.panes("@aiorch_role")].count("placeholder") == 1
    lab.delegate(("c", "sleep 60"))
    lab.wait_state(c="working")
    assert {row[0] for row in lab.panes("@aiorch_role")} == {"primary", "monitor", "worker"}


def test_strip_stays_low_when_the_window_grows(make_lab: LabMaker) -> None:
    lab = make_lab(size=(80, 24))
    lab.start()
    lab.tmux("resize-window", "-t", "m", "-x", "90", "-y", "50")

    def strip() -> str:
        return next(row[1] for row in lab.panes("@aiorch_role", "pane_height") if row[0] == "monitor")

    until(lambda: strip() == "5", "the strip has five rows again")


def test_task_can_come_by_file_and_by_stdin(lab: Lab) -> None:
    by_file = '[types.f]\ncommand = ["cat", "{file}"]\ntask_via = "file"\n'
    lab.start(by_file + '[types.s]\ncommand = ["cat"]\ntask_via = "stdin"\n')
    lab.delegate(
        {"name": "a", "type": "f", "task": "by 'file'"}, {"name": "b", "type": "s", "task": "by stdin"}
    )
    lab.wait_state(a="done", b="done")
    assert {name: row.result for name, row in lab.workers().items()} == {"a": "by 'file'", "b": "by stdin"}


def test_workers_go_on_when_the_primary_is_closed(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", "sleep 60"))
    lab.wait_state(a="working")
    lab.tmux("kill-pane", "-t", "%0")
    lab.wait_told("ERROR", "the primary pane is gone")
    lab.delegate(("b", "true"))
    lab.wait_state(a="working", b="done")
    lab.aiorch("stop")


def test_path_exported_in_the_leads_shell_reaches_workers_of_its_calls(lab: Lab) -> None:
    lab.put_program("aiorch", f'#!/bin/sh\nexec {sys.executable} -E -s {REPO / "python"} "$@"\n')
    late = lab.root / "late"
    late.mkdir()
    (late / "mine").write_text('#!/bin/sh\necho found >"$AIORCH_RESULT"\n')
    (late / "mine").chmod(0o755)
    lab.start('default_type = "mine"\n[types.mine]\ncommand = ["mine"]\ntask_via = "stdin"\n')
    until(lambda: lab.tmux("capture-pane", "-p", "-t", "%0").rstrip().endswith("$"), "the shell's prompt")
    lab.type(f"export PATH=$PATH:{late}; aiorch run something")
    lab.wait_state(simple="done")
    assert lab.workers()["simple"].result == "found"


def test_worker_whose_name_was_used_is_answered_by_its_new_name(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", "true"))
    lab.wait_state(a="done")
    plan = '[{"name": "a", "type": "step", "task": "true"}]'
    assert "a-2" in lab.aiorch("run", "again", "--workers", plan).stdout
