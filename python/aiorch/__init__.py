"""The Python helper behind aiorch.tmux."""

__version__ = "0.1.0"
