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
# How many words of the command are a sandbox around the others.
box=0
[ ! -e "$dir/box" ] || read -r box <"$dir/box"
# tree NAME WORDS COMMAND...: puts what `git WORDS` says of the worker's directory into DIR/NAME, in the sandbox of
# the COMMAND: what lies in that directory may have git run programs. The files are there for a git tree only;
# one that git takes too long for is left empty.
limit=
command -v timeout >/dev/null && limit='timeout 5'
tree() {
  [ -e "$dir/$1" ] || return 0
  name=$1 words=$2
  shift 2
  count=$# left=$box
  while [ "$count" -gt 0 ]; do
    [ "$left" -le 0 ] || set -- "$@" "$1"
    shift
    left=$((left - 1)) count=$((count - 1))
  done
  # shellcheck disable=SC2086 # the limit is two words, or none
  GIT_OPTIONAL_LOCKS=0 $limit "$@" git -C "$AIORCH_CWD" -c core.fsmonitor=false $words >"$dir/$name" 2>/dev/null ||
    : >"$dir/$name"
}
look='status --porcelain=v2 --branch -z --untracked-files=all --no-renames --ignore-submodules=dirty'
lines='diff --raw --numstat -z --no-renames --no-ext-diff --no-textconv'
tree tree.before "$look" "$@"
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
# A PATH with folders below this one would find the worker's own programs there.
cd /
tree tree.after "$look" "$@"
if [ -s "$dir/tree.after" ]; then
  base=$(tr '\0' '\n' <"$dir/tree.before" | sed -n '1s/^# branch.oid //p')
  case $base in
    # The tree that is empty: nothing was committed yet.
    '(initial)') base=4b825dc642cb6eb9a060e54bf8d69288fbee4904 ;;
    *[!0-9a-f]*) base= ;;
  esac
  [ -z "$base" ] || tree tree.lines "$lines $base --" "$@"
fi
# A worker may end before its pane is told to stay: wait for the label, so that its last words can be read.
tries=0
while [ ! -e "$dir/labelled" ] && [ "$tries" -lt 40 ]; do
  sleep 0.05
  tries=$((tries + 1))
done
exit "$status"
