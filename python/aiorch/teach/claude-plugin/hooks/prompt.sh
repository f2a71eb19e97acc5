#!/bin/sh
# With each prompt: tells the lead what became of the directives that it printed, once. No Python for that.
[ -n "${TMUX_PANE-}" ] && [ -z "${AIORCH_WORKER-}" ] || exit 0
run=$(tmux show-options -qv -t "$TMUX_PANE" @aiorch_run 2>/dev/null)
file=$run/acknowledged/$TMUX_PANE
[ -n "$run" ] && [ -s "$file" ] && mv "$file" "$file.told" 2>/dev/null || exit 0
echo 'aiorch took what you delegated:'
cat "$file.told"
