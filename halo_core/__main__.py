"""The program `halo`, also as `python -m halo_core`."""

import signal


def main() -> None:
    """Run the command line; Ctrl-C while its modules are imported ends the process without a traceback."""
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from halo_core.cli import main as command_line

    signal.signal(signal.SIGINT, previous)
    command_line()


if __name__ == "__main__":
    main()
