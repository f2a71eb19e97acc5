#!/bin/sh
# Takes everything of aiorch's out again: from the running tmux server and from the home directory. Runs stay unless --purge.
plugin=$(cd "${0%/*}/.." && pwd -P) || exit 1
. "$plugin/scripts/common.sh"
. "$plugin/scripts/tmux.sh"

case ${1-} in
'' | --purge) purge=${1-} ;;
*)
  echo 'usage: aiorch uninstall [--purge]   (--purge removes the runs, too)' >&2
  exit 2
  ;;
esac

say() { printf 'aiorch: %s\n' "$*"; }

# stop_engines: lets every engine put its windows back; one that does not answer is ended.
stop_engines() {
  tmux list-sessions -F '#{@aiorch_engine} #{@aiorch_run}' | while read -r engine run; do
    is_alive "$engine" || continue
    "$plugin/scripts/aiorch" --run "$run" stop </dev/null >/dev/null 2>&1 || kill "$engine" 2>/dev/null
    tries=50
    while [ "$tries" -gt 0 ] && is_alive "$engine"; do
      sleep 0.1
      tries=$((tries - 1))
    done
  done
}

# clear_status: takes our segment, and the columns that we added, back out of status-right.
clear_status() {
  segment=$(tmux show-options -gqv @aiorch_segment)
  right=$(tmux show-options -gv status-right)
  case $segment in
  '') ;;
  *)
    case $right in
    *"$segment"*) tmux set-option -g status-right "${right%%"$segment"*}${right#*"$segment"}" ;;
    esac
    ;;
  esac
  length=$(tmux show-options -gv status-right-length)
  if [ "$length" = "$(tmux show-options -gqv @aiorch_status_length)" ]; then
    tmux set-option -g status-right-length "$((length - 60))"
  fi
}

# hooks_in FLAGS [ID], options_in FLAGS [ID]: print the commands that remove ours from one scope.
hooks_in() {
  target=${2:+"-t '$2'"}
  # -q is for options alone: set-hook and show-hooks refuse it.
  scope=${1#-q}
  # shellcheck disable=SC2086
  tmux show-hooks $scope ${2:+-t "$2"} 2>/dev/null |
    sed -n "s/^\([a-z-]*\[4207\]\).*/set-hook ${scope:--}u $target \1/p"
}
options_in() {
  target=${2:+"-t '$2'"}
  tmux show-options "$1" ${2:+-t "$2"} 2>/dev/null |
    sed -n "s/^\(@aiorch[-_][A-Za-z0-9_-]*\).*/set-option $1u $target \1/p"
}

# everywhere COMMAND: runs it for every scope of the server, and has tmux do what it prints. A pane or session
# that ends meanwhile does no harm.
everywhere() {
  {
    "$1" -g
    "$1" -gw
    tmux list-sessions -F '#{session_id}' | while read -r id; do "$1" -q "$id"; done
    tmux list-windows -aF '#{window_id}' | while read -r id; do "$1" -w "$id"; done
    tmux list-panes -aF '#{pane_id}' | while read -r id; do "$1" -p "$id"; done
  } | tmux source-file - 2>/dev/null
}

clear_environment() {
  tmux set-environment -gu AIORCH_STATUS
  tmux list-sessions -F '#{session_id}' | while read -r id; do tmux set-environment -u -t "$id" AIORCH_STATUS; done
}

clean_server() {
  tmux list-sessions >/dev/null 2>&1 || return 0
  # First, because one of them starts a lost engine again.
  everywhere hooks_in
  stop_engines
  drop_bindings
  clear_status
  everywhere options_in
  clear_environment
  say 'taken out of the running tmux server'
}

# clean_home: the environment, the caches and the link; the runs only when asked to.
clean_home() {
  data=$(xdg "${XDG_DATA_HOME-}" .local/share)
  rm -rf "$data"/venv-* "$(cache_dir)"
  rmdir "$data" "$(xdg "${XDG_CONFIG_HOME-}" .config)" 2>/dev/null
  if [ -d "$data/worktrees" ]; then say "worktrees of workers, with their work, are kept in $data/worktrees"; fi
  link=${HOME:?}/.local/bin/aiorch
  if [ "$(readlink "$link" 2>/dev/null)" = "$plugin/scripts/aiorch" ]; then rm -f "$link"; fi
  if [ -n "$purge" ]; then
    rm -rf "$(state_dir)"
  elif [ -d "$(state_dir)/runs" ]; then
    say "the runs are kept in $(state_dir)/runs (--purge removes them)"
  fi
}

clean_server
clean_home
say "done. Remove the plugin's line from tmux.conf, and its folder: $plugin"
