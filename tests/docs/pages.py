"""Pages as their readers use them: the blocks of a markdown file, by what they are.

A fence is `sh` (typed into a shell), `python` (run), `yaml` (a file that somebody keeps), or `text` (to look
at: a picture, an output). A block without one of these words is a mistake: nobody would know that it works.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
KINDS: Final = frozenset({"sh", "python", "yaml", "text"})
_FENCE: Final = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FOLDERS: Final = ("services/*", "k8s", "libs/lienthong/mesh", "tests/bench")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `line` is that of its fence, for messages."""

    page: str
    line: int
    kind: str
    text: str


def pages() -> list[Path]:
    """Every page of the project."""
    found = [ROOT / "README.md"]
    for folder in _FOLDERS:
        found += sorted(ROOT.glob(f"{folder}/README.md"))
    return found


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in their order."""
    content = page.read_text(encoding="utf-8")
    name = str(page.relative_to(ROOT))
    return [
        Block(name, content.count("\n", 0, match.start()) + 1, match[1].strip(), match[2])
        for match in _FENCE.finditer(content)
    ]


def links(page: Path) -> list[str]:
    """The targets of relative links and of paths in code spans that look like files of the tree."""
    content = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", content)
    spans = re.findall(r"`((?:protos|libs|services|tests|k8s)/[\w./-]+)`", content)
    return [*targets, *(span for span in spans if "<" not in span)]
