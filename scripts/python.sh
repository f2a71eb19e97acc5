# shellcheck shell=sh
# Finding an interpreter, installing system packages, building a private environment: for install.sh and tests/run.

say() { printf 'aiorch: %s\n' "$*"; }
die() {
  printf 'aiorch: %s\n' "$*" >&2
  exit 1
}

# find_uv: sets $uv to the program, or to nothing.
find_uv() {
  for uv in "$(command -v uv)" "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv"; do
    [ -n "$uv" ] && [ -x "$uv" ] && return
  done
  uv=''
}

# probe_python PROGRAM: sets $python to the interpreter itself when it is good enough, else notes what is wrong with it.
# A pyenv shim costs 200 ms at every start, so what counts is the interpreter that it leads to.
probe_python() {
  found=$("$1" -I -c '
import importlib.util, sys
print(getattr(sys, "_base_executable", "") or sys.executable)
print("%d.%d" % sys.version_info[:2], sys.version_info >= (3, 11), importlib.util.find_spec("ensurepip") is not None)
' 2>/dev/null) || return 1
  facts=${found##*
}
  case $facts in
  *' False '*) python_problem="${python_problem:-$1 is Python ${facts%% *}}" && return 1 ;;
  *' True False') [ -n "$uv" ] || { python_problem="$1 has no venv module" && return 1; } ;;
  esac
  python=${found%%
*}
}

# find_python: sets $python to the first interpreter from 3.11 on that can build environments; or returns 1 and
# sets $python_problem to what the nearest candidate lacks. $AIORCH_PYTHON and @aiorch-python come first.
find_python() {
  python='' python_problem=''
  chosen=${AIORCH_PYTHON-}
  if [ -z "$chosen" ] && [ -n "${TMUX-}" ]; then
    chosen=$(tmux show-options -gqv @aiorch-python 2>/dev/null)
  fi
  if [ -n "$chosen" ]; then
    probe_python "$chosen" || { python_problem=${python_problem:-"$chosen does not run"} && return 1; }
    return 0
  fi
  for name in python3.14 python3.13 python3.12 python3.11 /usr/bin/python3 \
    /opt/homebrew/bin/python3 /usr/local/bin/python3 python3; do
    command -v "$name" >/dev/null && probe_python "$name" && return 0
  done
  [ -n "$uv" ] && name=$("$uv" python find '>=3.11' 2>/dev/null) && probe_python "$name"
}

# apt_prefix: sets $apt to the words that install packages here without a question, or returns 1.
apt_prefix() {
  command -v apt-get >/dev/null || return 1
  apt='env DEBIAN_FRONTEND=noninteractive apt-get'
  [ "$(id -u)" = 0 ] && return 0
  command -v sudo >/dev/null && sudo -n true 2>/dev/null && apt="sudo -n $apt"
}

# apt_install PACKAGE...: installs them, with fresh package lists when the present ones do not do; 1 when it cannot.
apt_install() {
  apt_prefix || return 1
  say "installing with apt-get: $*"
  # $apt is a list of words of ours.
  # shellcheck disable=SC2086
  $apt install -y -q --no-install-recommends "$@" >/dev/null 2>&1 </dev/null && return 0
  # shellcheck disable=SC2086
  $apt update -q >/dev/null 2>&1 </dev/null
  # shellcheck disable=SC2086
  $apt install -y -q --no-install-recommends "$@" >/dev/null </dev/null
}

# fill_venv LOCK DIR: makes the environment with what the lock names, every file checked against its hash.
# The two variables, one per age of uv, let it trust what the system trusts, as pip does.
fill_venv() {
  if [ -n "$uv" ]; then
    export UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1
    "$uv" venv -q --no-project --python "$python" "$2" &&
      "$uv" pip install -q --require-hashes --compile-bytecode --python "$2/bin/python" -r "$1"
  else
    "$python" -m venv "$2" &&
      "$2/bin/python" -m pip install -q --disable-pip-version-check --retries 1 --timeout 20 --require-hashes -r "$1"
  fi
}

# explain_failure LOG: says in one sentence why an environment could not be filled.
explain_failure() {
  tail -n 8 "$1" >&2
  if grep -Eqi 'do not match the hashes|hash mismatch' "$1"; then
    die 'a downloaded package does not have the hash that the lock file names; nothing was installed'
  elif grep -Eqi 'connection|resolve|dns error|timed out|unreachable|No matching distribution|error sending request' "$1"; then
    die 'could not download the Python packages: no network? (behind a proxy, set HTTPS_PROXY) Nothing was installed'
  elif grep -Eqi 'no space left' "$1"; then
    die 'the disk is full; nothing was installed'
  fi
  die 'could not build the Python environment; the lines above say why. Nothing was installed'
}

# make_venv LOCK DIR: builds it beside its place and renames it, so that it is there whole or not at all. Whoever
# comes second of two that run at once finds the first one's and drops its own. Uses $uv and $python.
make_venv() {
  new=$2.new-$$
  mkdir -p "${2%/*}" || die "cannot write to ${2%/*}"
  trap 'rm -rf "$new" "$new.log"' EXIT
  trap 'exit 130' INT TERM HUP
  fill_venv "$1" "$new" >"$new.log" 2>&1 </dev/null || explain_failure "$new.log"
  (
    # One at a time: what another has just put there must not be taken for what is in the way.
    if command -v flock >/dev/null; then flock 9; fi
    # A directory that is there but does not run, because its interpreter went away, must not be in the way.
    [ -x "$2/bin/python" ] || rm -rf "$2"
    mv "$new" "$2" 2>/dev/null
    # When the place was taken meanwhile, mv has put it inside.
    rm -rf "${2:?}/${new##*/}" "$new" "$new.log"
  ) 9<"${2%/*}"
  [ -x "$2/bin/python" ] || die "cannot write to $2"
}
