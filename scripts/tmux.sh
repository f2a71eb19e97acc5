# shellcheck shell=sh
# Key bindings, as seen through list-keys. Always a whole table is read: when the answer is one line, tmux 3.7c
# prints none.

# quoted_key KEY: prints the key as list-keys writes it, nothing when it is no key. A table of its own tells.
quoted_key() {
  word=$1
  # A last `;` would end tmux's command.
  case $word in *\;) word="${word%;}\\;" ;; esac
  tmux bind-key -T aiorch_probe User99 start-server \; bind-key -T aiorch_probe -- "$word" refresh-client \; \
    list-keys -T aiorch_probe \; unbind-key -a -T aiorch_probe 2>/dev/null |
    sed -n 's/.* aiorch_probe *\([^ ]*\) *refresh-client.*/\1/p'
  tmux unbind-key -a -T aiorch_probe 2>/dev/null
}

# key_of LINE: prints the key of a line of list-keys, quoted as it is there.
key_of() { printf '%s\n' "$1" | sed 's/^bind-key *\(-r \)\{0,1\} *-T prefix *\([^ ]*\) .*/\2/'; }

# find_line QUOTED: prints the line for that key, out of a list on stdin.
find_line() {
  while IFS= read -r entry; do
    case $entry in *" $1 "*) ;; *) continue ;; esac
    if [ "$(key_of "$entry")" = "$1" ]; then printf '%s\n' "$entry"; fi
  done
}

# is_ours LINE: whether this line of list-keys is a binding that the plugin made, in any version.
is_ours() {
  case $1 in *'@aiorch_dir}/scripts/aiorch key '*) ;; *) return 1 ;; esac
}

# native_lines: prints the prefix table of a tmux without configuration; asks a server of its own.
native_lines() (
  probe=$(mktemp -d) || exit 1
  tmux -S "$probe/tmux" -f /dev/null start-server \; list-keys -T prefix 2>/dev/null
  rm -rf "$probe"
)

# unbind QUOTED: takes the key out of the prefix table.
unbind() { printf 'unbind-key -T prefix %s\n' "$1" | tmux source-file -; }

# drop_bindings [EXCEPT]: unbinds every key that leads to us but the quoted one, and gives tmux's own meaning back.
drop_bindings() {
  tmux list-keys -T prefix | while IFS= read -r line; do
    is_ours "$line" || continue
    quoted=$(key_of "$line")
    [ "$quoted" != "${1-}" ] || continue
    unbind "$quoted"
    native_lines | find_line "$quoted" | tmux source-file -
  done
}
