"""Side by side with peers: `python -m bench` measures, README.md says how to read it."""
