"""Measured speed and memory of packed networks, beside other engines in the same run (`docs/performance.md`)."""
