"""A pytest plugin that asks nbval itself whether it would notice a changed output. It runs no notebook.

For each output that nbval compares, in each of its formats, one character is changed; each output is left out once; and
one more is added, to silent cells too. nbval's own comparison is called with what is stored and what was changed. The
answers are written to the file that FALSIFIER_REPORT names.
"""

import copy
import json
import os
import pathlib
import re

import nbformat


def changed(content):
    """The text with one character changed: a coordinate of a figure, else the last digit or letter; data likewise."""
    if not isinstance(content, str):
        return json.loads(changed(json.dumps(content)))
    text = content
    path = re.search(r' d="[^"]*?(\d)', text)
    at = path.start(1) if path else max(i for i, c in enumerate(text) if c.isalnum())
    return text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1 :]


def falsified(outputs: list) -> list[tuple[str, list]]:
    """Every copy of the outputs in which one thing is changed, with a word on which."""
    more = nbformat.v4.new_output("display_data", {"text/plain": "one more"})
    copies = [("one more", [*copy.deepcopy(outputs), more])]
    copies += [(f"without output {i}", copy.deepcopy(outputs[:i] + outputs[i + 1 :])) for i in range(len(outputs))]
    for number, output in enumerate(outputs):
        formats = ["text"] if output.output_type == "stream" else list(output.data)
        for name in formats:
            altered = copy.deepcopy(outputs)
            place = altered[number] if name == "text" else altered[number].data
            place[name] = changed(place[name])
            copies.append((f"output {number}, {name}", altered))
    return copies


def pytest_collection_modifyitems(items):
    report = []
    for item in items:
        outputs = item.cell.outputs
        report.append(
            {
                "notebook": item.path.name,
                "cell": item.name,
                "equal": bool(item.compare_outputs(outputs, outputs)),
                "unnoticed": [what for what, altered in falsified(outputs) if item.compare_outputs(outputs, altered)],
                "changes": len(falsified(outputs)),
                "compared": bool(item.options["check"]),
            }
        )
    pathlib.Path(os.environ["FALSIFIER_REPORT"]).write_text(json.dumps(report), encoding="utf-8")
