#!/bin/sh
# Loaded by TPM with no client and no output: errors go to @aiorch_error, which the segment shows.
path=$0
while [ -h "$path" ]; do
  link=$(readlink "$path") || exit 0
  case $link in /*) path=$link ;; *) path=${path%/*}/$link ;; esac
done
case $path in */*) ;; *) path=./$path ;; esac
dir=$(cd "${path%/*}" && pwd -P) || exit 0

# source-file reads its argument as a glob, and while tmux.conf loads relative paths start elsewhere.
glob=$dir
case $dir in *[][*?\\]*) glob=$(printf '%s' "$dir" | sed 's/[][*?\\]/\\&/g') ;; esac

said=$(tmux set-option -g @aiorch_dir "$dir" \; set-option -g @aiorch_glob "$glob/scripts" \; \
  source-file "$glob/scripts/load.conf" 2>/dev/null)

# Nothing said: the key was free and is ours now. Our own line: a reload. The rest is rare and has time.
case $said in
'' | bind-key*'@aiorch_dir}/scripts/aiorch key pane='*' @aiorch-1"'*asked) ;;
*) "$dir/scripts/keys.sh" >/dev/null 2>&1 ;;
esac
# A status other than 0 would open a pager over the user's pane when tmux.conf runs this file itself.
exit 0
