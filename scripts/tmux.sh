# shellcheck shell=sh
# Key bindings of ours, as seen through list-keys.

# as_argument KEY: prints it so that a last `;` does not end tmux's command.
as_argument() {
  case $1 in *\;) printf '%s\\;' "${1%;}" ;; *) printf '%s' "$1" ;; esac
}

# is_ours LINE: whether this line of list-keys is a binding that the plugin made, in any version.
is_ours() {
  case $1 in *'@aiorch_dir}/scripts/aiorch key '*) ;; *) return 1 ;; esac
}

# native_binding KEY: prints what a tmux without configuration does on that key; asks a server of its own.
native_binding() (
  probe=$(mktemp -d) || exit 1
  tmux -S "$probe/tmux" -f /dev/null start-server \; list-keys -T prefix -- "$(as_argument "$1")" 2>/dev/null
  rm -rf "$probe"
)

# drop_binding KEY: unbinds it when it is ours, and gives tmux's own meaning back.
drop_binding() {
  is_ours "$(tmux list-keys -T prefix -- "$(as_argument "$1")" 2>/dev/null)" || return 0
  tmux unbind-key -T prefix -- "$(as_argument "$1")"
  native_binding "$1" | tmux source-file -
}
