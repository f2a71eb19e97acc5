# shellcheck shell=sh
# What the launcher, the installer and the uninstaller share. Needs $plugin, the plugin's folder.

# xdg VALUE FALLBACK: prints aiorch's directory; the XDG specification ignores relative values.
xdg() {
  case $1 in /*) printf '%s/aiorch' "$1" ;; *) printf '%s/%s/aiorch' "${HOME:?is not set}" "$2" ;; esac
}

# venv_for LOCK: prints the private environment's directory, named by what the lock file says.
venv_for() {
  sum=$(cksum <"$1") || return 1
  printf '%s/venv-%s' "$(xdg "${XDG_DATA_HOME-}" .local/share)" "${sum%% *}-${sum##* }"
}

cache_dir() { xdg "${XDG_CACHE_HOME-}" .cache; }
state_dir() { xdg "${XDG_STATE_HOME-}" .local/state; }

# run_python VENV ARG...: becomes the Python side. -E -s: the user's Python settings stay out; -S: so does what
# would be looked for at each start (python/__main__.py finds the packages); nothing is
# written into the plugin's folder, which TPM pulls into and deletes.
run_python() {
  venv=$1
  shift
  exec "$venv/bin/python" -E -s -S -X pycache_prefix="$(cache_dir)/pycache" "${plugin:?}/python" "$@"
}

# is_alive PID: a zombie is dead; kill -0 alone would call it alive.
is_alive() {
  case $1 in '' | *[!0-9]*) return 1 ;; esac
  kill -0 "$1" 2>/dev/null || return 1
  [ -r "/proc/$1/stat" ] || return 0
  read -r stat <"/proc/$1/stat" || return 1
  case ${stat##*) } in Z* | X*) return 1 ;; esac
}
