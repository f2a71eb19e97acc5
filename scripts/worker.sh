#!/bin/sh
# The pane process of every worker: worker.sh ACTION DIR ARG...
# ACTION is there to be seen in #{pane_start_command}. An ARG of the form @NAME stands for the content
# of DIR/arg.NAME, so that no task ever passes through a tmux command line. Records which process
# started and how it ended in DIR, also while no engine runs. Both records are there already, blank: they are
# written over, so that a mask does not open them and a disk that is full has room for them.
dir=$2
shift 2
printf '%-10s\n' "$$" 1<>"$dir/start"
newline='
'
count=$#
while [ "$count" -gt 0 ]; do
  value=$1
  shift
  case $value in @*)
    file="$dir/arg.${value#@}" value=
    while IFS= read -r text || [ -n "$text" ]; do
      value=$value$text$newline
    done <"$file"
    # The file ends with one newline more than the argument.
    value=${value%"$newline"}
    ;;
  esac
  set -- "$@" "$value"
  count=$((count - 1))
done
# A signal to the process group ends the worker, not the record of its end. HUP is not trapped: a shell
# runs traps only after its child, and the kernel tells the child of a closed pane only once we are gone.
trap : INT TERM QUIT
status=126
if cd -- "$AIORCH_CWD"; then
  if [ -e "$dir/stdin" ]; then
    "$@" <"$dir/stdin"
  else
    "$@"
  fi
  status=$?
fi
printf '%-3s\n' "$status" 1<>"$dir/exit"
# A worker may end before its pane is told to stay: wait for the label, so that its last words can be read.
tries=0
while [ ! -e "$dir/labelled" ] && [ "$tries" -lt 40 ]; do
  sleep 0.05
  tries=$((tries + 1))
done
exit "$status"
