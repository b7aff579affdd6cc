"""The harness keeps what it measured, and reckons ratios the way it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.harness import Result, append, percentile
from tests.bench.mesh import text_pdf


def test_results_are_appended_with_their_ratio(tmp_path: Path) -> None:
    file = tmp_path / "bench" / "results.json"
    append([Result("chain", 250.0, "documents/s", 1000.0)], file)
    append([Result("memory", 80.0, "MiB")], file)
    assert json.loads(file.read_text()) == [
        {"name": "chain", "value": 250.0, "unit": "documents/s", "limit": 1000.0, "ratio": 0.25},
        {"name": "memory", "value": 80.0, "unit": "MiB", "limit": None, "ratio": None},
    ]


def test_percentiles_lie_between_the_values() -> None:
    values = [float(n) for n in range(1, 102)]
    assert percentile(values, 50) == 51.0
    assert percentile(values, 99) == 100.0


@pytest.mark.parametrize("size", [1024, 10 * 1024])
def test_the_annexes_are_readable_pdfs_of_the_size_each_other_bytes(size: int) -> None:
    from io import BytesIO

    from pyhanko.pdf_utils.reader import PdfFileReader

    one, other = text_pdf(size), text_pdf(size)
    assert one != other
    assert abs(len(one) - size) < 256
    assert PdfFileReader(BytesIO(one)).root["/Pages"]["/Count"] == 1
