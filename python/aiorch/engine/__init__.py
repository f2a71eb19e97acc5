"""The one process per tmux session that turns directives into workers and keeps the books."""
