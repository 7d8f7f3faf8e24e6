"""Reading image files, stage by stage."""
