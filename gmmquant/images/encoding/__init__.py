"""Writing image files, a module for each thing that formats differ in."""
