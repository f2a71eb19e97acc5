#!/bin/sh
# Settles the key when it was not simply free at load: a foreign binding is reported, never replaced.
dir=$(cd "${0%/*}" && pwd -P) || exit 1
. "$dir/tmux.sh"

key=$(tmux show-options -gqv @aiorch-key)
mine=$(tmux show-options -gqv @aiorch_key)
if [ "$mine" != "$key" ] && [ -n "$mine" ]; then
  drop_binding "$mine"
  tmux set-option -gu @aiorch_key
fi
[ -n "$key" ] || exit 0

line=$(tmux list-keys -T prefix -- "$(as_argument "$key")" 2>/dev/null)
# tmux's own meaning of a key gives way when the user names that key; anybody else's does not.
if is_ours "$line" || [ -z "$line" ] || [ "$line" = "$(native_binding "$key")" ]; then
  [ -z "$line" ] || tmux unbind-key -T prefix -- "$(as_argument "$key")"
  glob=$(tmux show-options -gqv @aiorch_glob)
  tmux source-file "$glob/bind.conf"
fi

if [ "$(tmux show-options -gqv @aiorch_key)" != "$key" ] || ! is_ours "$(tmux list-keys -T prefix -- "$(as_argument "$key")")"; then
  if [ -n "$line" ]; then why="is taken"; else why="is no key"; fi
  tmux set-option -g @aiorch_error "aiorch: prefix $key $why, name another: set -g @aiorch-key KEY"
  tmux set-option -gu @aiorch_key
  # While the server starts there is nobody to tell; then the segment does.
  tmux display-message -d 5000 '#{@aiorch_error}'
fi
