"""Methods that the paper's tables compare with: they train, and have no packed form."""
