#!/bin/sh
# Runs the check of a worker: check.sh DIR ARG... Records which process runs it and how it ended in DIR, also
# while no engine runs. Both records are there already, blank, as those of worker.sh.
dir=$1
shift
printf '%-10s\n' "$$" 1<>"$dir/check.start"
# A signal to the process group ends the check, not the record of its end.
trap : HUP INT TERM QUIT
"$@"
status=$?
printf '%-3s\n' "$status" 1<>"$dir/check.exit"
exit "$status"
