"""The main job over files: sources become jobs, jobs become files and records."""
