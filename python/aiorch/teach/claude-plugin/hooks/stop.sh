#!/bin/sh
# When the lead's turn is over: waits in the background for its workers, and wakes it with their results.
[ -n "${TMUX_PANE-}" ] && [ -z "${AIORCH_WORKER-}" ] || exit 0
root=$(cd "${0%/*}/../../../../.." && pwd -P) && [ -x "$root/scripts/aiorch" ] || exit 0
exec "$root/scripts/aiorch" report
