#!/bin/sh
# Holds the workers' column while there are none; it is closed when the first worker starts.
stty -echo 2>/dev/null
printf '\033[?25l\033[2m\n  Workers appear here.\n\n  The lead delegates, or you do:\n  prefix + the aiorch key.\033[0m'
exec tail -f /dev/null
