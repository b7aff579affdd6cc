"""Storage: attachment bytes by their SHA-256, with holds, grants and replication. Knows no recipients."""
