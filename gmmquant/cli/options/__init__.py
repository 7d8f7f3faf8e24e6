"""The options of the command: what each is called, and what its help says.

They are types of parameters, so that the command reads as a list of names.
"""
