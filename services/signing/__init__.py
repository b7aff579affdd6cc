"""The signing service: keys, PDF and Office Open XML signatures, timestamps, validation."""
