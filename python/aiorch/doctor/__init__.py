"""`aiorch doctor`: what is there, what is missing, what may do what; and the bundle for a bug report."""
