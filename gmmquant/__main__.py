"""Run the command as `python -m gmmquant`."""

from gmmquant.cli import main

if __name__ == "__main__":
    main()
