"""The command line."""

import sys


def main() -> int:
    """Run one command; return its exit code."""
    return 2


if __name__ == "__main__":
    sys.exit(main())
