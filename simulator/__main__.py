"""`python -m simulator` is `simulate`."""

from simulator.cli import main

if __name__ == "__main__":
    main()
