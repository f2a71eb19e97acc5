#!/bin/sh
# Hands the engine one request: request.sh INBOX VERB [NAME VALUE]...
# A file that appears whole, by rename. Values are plain words (ids, worker names, terminals); others are refused.
inbox=$1 verb=$2
shift 2
json="{\"verb\": \"$verb\""
while [ $# -ge 2 ]; do
  case $2 in
  *[!A-Za-z0-9._%/:-]*)
    echo "aiorch: $1 is not a plain word" >&2
    exit 2
    ;;
  esac
  json="$json, \"$1\": \"$2\""
  shift 2
done
# The key itself uses other names: a process id may come again.
name="menu-$$"
umask 077
printf '%s}\n' "$json" >"$inbox/.$name" && mv "$inbox/.$name" "$inbox/$name.json"
