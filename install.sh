#!/bin/sh
# Installs what aiorch needs: tmux, Python, and a private environment that nothing else uses.
plugin=$(cd "$(dirname "$0")" && pwd -P) || exit 1
[ -n "${HOME-}" ] || { echo 'aiorch: HOME is not set' >&2; exit 1; }
. "$plugin/scripts/common.sh"
. "$plugin/scripts/python.sh"

lock=$plugin/python/requirements.lock
venv=$(venv_for "$lock") || die 'python/requirements.lock is missing: is this a whole clone?'

usage() {
  cat <<TEXT
usage: ./install.sh              install what is missing
       ./install.sh --demo ...   the same, then run the demo (further words go to it)
       ./install.sh --check      say what is there and what is missing; changes nothing
       ./install.sh --uninstall  take everything out again (--purge: the runs, too)

Environment: AIORCH_PYTHON names the interpreter (3.11 or newer), XDG_DATA_HOME the place.
TEXT
}

# tmux_fits VERSION: whether `tmux -V` names 3.3 or newer.
tmux_fits() {
  case $1 in
  master | openbsd-*) return 0 ;;
  esac
  number=${1#next-}
  major=${number%%.*}
  minor=${number#*.}
  minor=${minor%%[!0-9]*}
  case $major$minor in '' | *[!0-9]*) return 1 ;; esac
  [ "$major" -gt 3 ] || { [ "$major" -eq 3 ] && [ "${minor:-0}" -ge 3 ]; }
}

# tmux_problem: prints what is wrong with tmux, nothing when it will do.
tmux_problem() {
  command -v tmux >/dev/null || { echo 'tmux is not installed'; return; }
  version=$(tmux -V 2>/dev/null)
  version=${version#tmux }
  tmux_fits "$version" || echo "tmux $version is too old, 3.3 or newer is needed"
}

# how PACKAGE...: prints the commands that a person can use.
how() {
  echo "Debian/Ubuntu: sudo apt-get install $1; macOS: brew install $2"
}

need_tmux() {
  problem=$(tmux_problem)
  [ -n "$problem" ] || return 0
  apt_install tmux || die "$problem. $(how tmux tmux)"
  problem=$(tmux_problem)
  [ -z "$problem" ] || die "$problem, and this system's packages have no newer one. macOS and Linux: brew install tmux"
}

need_python() {
  find_uv
  find_python && return 0
  if [ -z "${AIORCH_PYTHON-}" ] && apt_prefix; then
    # Releases whose python3 is older than 3.11 have a newer one beside it.
    for packages in 'python3 python3-venv' 'python3.13 python3.13-venv' 'python3.12 python3.12-venv' \
      'python3.11 python3.11-venv'; do
      # shellcheck disable=SC2086
      apt_install $packages 2>/dev/null && find_python && return 0
    done
  fi
  case $python_problem in
  *'venv module') die "$python_problem. $(how python3-venv python@3.13)" ;;
  esac
  die "Python 3.11 or newer with venv is needed (${python_problem:-no Python found}). $(how 'python3 python3-venv' \
    python@3.13). Another place: AIORCH_PYTHON=/path/to/python3 ./install.sh"
}

# in_use DIR: whether a process was started from this environment.
in_use() {
  if [ -d /proc/self ]; then
    # The pattern comes by stdin: as an argument it would find grep itself.
    # shellcheck disable=SC2062
    printf '%s' "$1/bin/python" | grep -qsF -f - /proc/[0-9]*/cmdline
  else
    case $(ps -Ao args=) in *"$1/bin/python"*) ;; *) return 1 ;; esac
  fi
}

# drop_old: removes environments of other lock files, unless an engine still runs from one.
drop_old() {
  for old in "${venv%/*}"/venv-*; do
    case $old in "$venv" | *.new-* | *'*') continue ;; esac
    in_use "$old" || rm -rf "$old"
  done
}

# warm_up: proves that the packages work, and fills the byte-code cache so that the first key press is quick.
warm_up() {
  "$venv/bin/python" -E -s -X pycache_prefix="$(cache_dir)/pycache" \
    -c 'import argparse, json, sqlite3, avt, libtmux, tomli, watchdog.observers' || {
    rm -rf "${venv:?}"
    die "the packages do not work with $python; nothing was installed"
  }
  "$plugin/scripts/aiorch" --version >/dev/null 2>&1
}

# link_command: puts the command on PATH where the user keeps such things, and never over a file of theirs.
link_command() {
  bin=$HOME/.local/bin command=$plugin/scripts/aiorch
  case :$PATH: in
  *":$bin:"*) ;;
  *) hint=$command && return ;;
  esac
  hint=aiorch
  [ "$(readlink "$bin/aiorch" 2>/dev/null)" != "$command" ] || return 0
  if [ -e "$bin/aiorch" ] && ! [ -h "$bin/aiorch" ]; then
    say "$bin/aiorch is another program, left as it is; the command is $command"
    hint=$command
    return
  fi
  mkdir -p "$bin" && ln -sfn "$command" "$bin/aiorch"
}

install_all() {
  need_tmux
  if ! [ -x "$venv/bin/python" ]; then
    need_python
    say "building the private environment in $venv"
    say "(with $python${uv:+ and uv}; this can take a minute)"
    make_venv "$lock" "$venv"
    warm_up
    drop_old
    say 'the environment is ready'
  fi
  link_command
}

# report GOOD SENTENCE: one line of --check.
report() {
  if [ "$1" = yes ]; then echo "ok       $2"; else echo "missing  $2" && missing=1; fi
}

check_all() {
  missing=0
  problem=$(tmux_problem)
  if [ -z "$problem" ]; then report yes "$(tmux -V)"; else report no "$problem. $(how tmux tmux)"; fi
  if "$venv/bin/python" -E -s -c 'import avt, libtmux, tomli, watchdog' 2>/dev/null; then
    report yes "private environment $venv, $("$venv/bin/python" -V)"
  else
    find_uv
    if find_python; then
      report yes "$python"
    else
      report no "Python 3.11 or newer with venv (${python_problem:-no Python found}). $(how 'python3 python3-venv' python@3.13)"
    fi
    report no "private environment $venv: run $plugin/install.sh"
  fi
  return "$missing"
}

case ${1-} in
'')
  install_all
  say "installed. In tmux press the prefix and O, or run: $hint up"
  ;;
--demo)
  shift
  install_all
  exec "$plugin/scripts/aiorch" demo "$@"
  ;;
--check) check_all ;;
--uninstall)
  shift
  exec /bin/sh "$plugin/scripts/uninstall.sh" "$@"
  ;;
-h | --help) usage ;;
*)
  usage >&2
  exit 2
  ;;
esac
