"""Renders the chart with every values file, offline, and judges the result (`make charts`).

Helm's own lint, the chart's schema of values, and the strict schemas of the stated version of Kubernetes,
where an unknown field is an error. No API server is asked: what only one can know (quotas, admission) is not
seen.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kubernetes_validate  # type: ignore[import-untyped]
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError

CHART: Final = Path(__file__).parent / "charts" / "lienthong"
KUBERNETES: Final = "1.34"
RELEASE: Final = "h01"
NAMESPACE: Final = "lienthong"
# What every installation gives beside the values of its tier.
REQUIRED: Final = CHART / "ci" / "required-values.yaml"
# Examples that stand on the values of a tier.
_ON_TOP_OF: Final = {"values-own-s3.yaml": "values-province.yaml"}
_WARNING: Final = 2

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One way to install the chart."""

    name: str
    values: dict[str, Any]


def cases() -> list[Case]:
    """Each values file as it is meant to be used, `values.yaml` alone with what is required first."""
    found = [Case("values.yaml", read(REQUIRED))]
    for file in sorted(CHART.glob("values-*.yaml")):
        below = _ON_TOP_OF.get(file.name)
        files = [REQUIRED, *([CHART / below] if below else []), file]
        found.append(Case(file.name, merged(*(read(one) for one in files))))
    return found


def read(file: Path) -> dict[str, Any]:
    """A values file."""
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Later over earlier, as Helm merges `-f a -f b`: maps into each other, everything else replaced."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            both = isinstance(below, dict) and isinstance(value, Mapping)
            result[key] = merged(below, value) if both and below is not None else value
    return result


def render(values: Mapping[str, Any]) -> list[Manifest]:
    """Every object of the release; HelmError where the values or a template are not good."""
    with Chart.load(CHART) as chart:
        files = chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    return [
        manifest
        for name, text in sorted(files.items())
        if name.endswith(".yaml")
        for manifest in yaml.safe_load_all(text)
        if manifest
    ]


def problems(case: Case) -> Iterator[str]:
    """What is wrong with one way to install."""
    report = lint(CHART, case.values, strict=True, kube_version=f"v{KUBERNETES}.0")
    yield from (m["error"] for m in report["messages"] if m["severity"] >= _WARNING)
    try:
        manifests = render(case.values)
    except HelmError as error:
        yield str(error)
        return
    for manifest in manifests:
        try:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            place = ".".join(str(part) for part in getattr(error, "path", ()))
            yield f"{manifest['kind']}/{manifest['metadata']['name']}: {place}: {error.message}"


def main() -> int:
    """Say what is wrong, a line each; 0 when nothing is."""
    failed = 0
    for case in cases():
        for problem in problems(case):
            failed += 1
            sys.stderr.write(f"{case.name}: {problem}\n")
    if not failed:
        sys.stdout.write(f"chart: {len(cases())} values files are good for Kubernetes {KUBERNETES}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
