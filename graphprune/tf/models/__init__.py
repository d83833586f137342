"""Live models from files and back, and which files are refused."""
