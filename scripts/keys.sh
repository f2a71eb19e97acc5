#!/bin/sh
# Settles the key when it was not simply free at load: a foreign binding is reported, never replaced.
dir=$(cd "${0%/*}" && pwd -P) || exit 1
. "$dir/tmux.sh"

key=$(tmux show-options -gqv @aiorch-key)
quoted=''
[ -z "$key" ] || quoted=$(quoted_key "$key")
drop_bindings "$quoted"
tmux set-option -gu @aiorch_key
[ -n "$key" ] || exit 0

if [ -z "$quoted" ]; then
  why='is no key'
else
  why=''
  line=$(tmux list-keys -T prefix | find_line "$quoted")
  # tmux's own meaning of a key gives way when the user names that key; anybody else's does not.
  if is_ours "$line" || [ -z "$line" ]; then
    :
  elif [ "$(echo "$line" | tr -s ' ')" = "$(native_lines | find_line "$quoted" | tr -s ' ')" ]; then
    unbind "$quoted"
  else
    why='is taken'
  fi
fi

if [ -z "$why" ]; then
  glob=$(tmux show-options -gqv @aiorch_glob)
  tmux source-file "$glob/bind.conf"
else
  tmux set-option -g @aiorch_error "aiorch: prefix $key $why, name another: set -g @aiorch-key KEY"
  # While the server starts there is nobody to tell; then the segment does.
  tmux display-message -d 5000 '#{@aiorch_error}'
fi
