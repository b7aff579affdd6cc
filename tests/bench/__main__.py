"""All benchmarks one after another: `make bench`, or `python -m tests.bench chain link`."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from tests.bench.harness import RESULTS

# Each in a process of its own: none inherits another's memory or warm caches.
BENCHES: Final = ("footprint", "chain", "link")


def main() -> None:
    """Run the named ones, or all; the exit status is that of the first that failed."""
    chosen = sys.argv[1:] or BENCHES
    unknown = sorted(set(chosen) - set(BENCHES))
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
    for name in chosen:
        status = subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode
        if status:
            sys.exit(status)
    print(f"results: {RESULTS}")


if __name__ == "__main__":
    main()
