"""The front door for agents that speak the Model Context Protocol."""
