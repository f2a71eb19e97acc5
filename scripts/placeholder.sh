#!/bin/sh
# Holds the workers' column while there are none: placeholder.sh KEY. The first worker takes its place.
stty -echo 2>/dev/null
printf '\033[?25l\033[2m\n  Workers appear here.\n\n  The lead delegates, or you do:\n  prefix + %s, then w.\033[0m' "$1"
exec tail -f /dev/null
