"""Writing picture files, a module for each thing that formats differ in."""
