"""gRPC plumbing, once: server, client, errors, identity and access."""
