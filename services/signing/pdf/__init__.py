"""The PDF half of signing: prepare, sign, seal, stamp, validate. Files in, files out."""
