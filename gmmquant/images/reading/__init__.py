"""Reading picture files, stage by stage."""
