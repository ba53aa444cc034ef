"""`python -m halo_core` is `halo`."""

from halo_core.cli import main

if __name__ == "__main__":
    main()
