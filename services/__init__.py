"""The five services. None imports another: they meet through stubs."""
