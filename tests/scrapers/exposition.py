#!/usr/bin/env python3
"""Parses what an exporter says: `exposition.py text|openmetrics FILE`.

With `openmetrics` that is the strict parser. Prints a line of JSON for each family, with its name,
type, unit and help, and for each sample, with its name, labels, value as text, and time in
milliseconds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Callable, Iterable

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict
from prometheus_client.parser import text_string_to_metric_families as plain


def families(form: str, text: str) -> Iterable[Metric]:
    """Raises ValueError when the text is not of the form."""
    parsers: dict[str, Callable[[str], Iterable[Metric]]] = {"openmetrics": strict, "text": plain}
    return parsers[form](text)


def main() -> None:
    form, path = sys.argv[1:]
    # Not as a text file, of which other ends of lines would be taken for a line's end.
    text = Path(path).read_bytes().decode()
    for family in families(form, text):
        print(json.dumps([family.name, family.type, family.unit, family.documentation]))
        for sample in family.samples:
            time = sample.timestamp
            time_ms = None if time is None else round(float(time) * 1000)
            print(json.dumps([sample.name, sample.labels, repr(sample.value), time_ms]))


if __name__ == "__main__":
    main()
