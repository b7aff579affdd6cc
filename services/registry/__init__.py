"""The registry: the directory of organizations and nodes, and the registers with their numbers."""
