"""What the keys of directives look like."""

SESSION_KEY = "transcript:"
"""How the keys of directives from session files begin: they are the same in all conversations."""
