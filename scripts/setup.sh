#!/bin/sh
# Runs in the popup of the first key press: explains, asks, installs, and says by its status whether to go on.
plugin=$(cd "${0%/*}/.." && pwd -P) || exit 1
. "$plugin/scripts/common.sh"

venv=$(venv_for "$plugin/python/requirements.lock") || exit 1
cat <<TEXT

  aiorch is loaded, its Python side is not set up yet.

  Setting up downloads a few packages into an environment of its own
  (about 30 MB, hash-checked) and touches nothing else:

    ${venv%/*}

TEXT
printf '  Set it up now? [y/N, then Enter] '
read -r answer || exit 1
case $answer in [Yy]*) ;; *) exit 1 ;; esac
echo

# show: one line after the other as they come, wrapped between words for the popup's width.
show() {
  while IFS= read -r line; do
    [ "$line" != 'install failed' ] || exit 1
    printf '%s\n' "$line" | fold -s -w 70 | sed 's/^/  /'
  done
}

# A pipeline ends with the status of its last command, so the first one's failure travels as a line.
{ "$plugin/install.sh" 2>&1 || echo 'install failed'; } | show && exit 0
printf '\n  It did not work; the lines above say why. Press Enter to close. '
read -r _
exit 1
