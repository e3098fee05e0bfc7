"""The report, as report.json and report.md, written whole after every step."""
import json
import os
import pathlib

MARKS = {"passed": "passed", "failed": "**failed**", "timed out": "**timed out**", "skipped": "skipped", "interrupted": "**interrupted**",
         "not run": "not run"}


def write(report, folder):
    folder = pathlib.Path(folder)
    replace(folder / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    replace(folder / "report.md", markdown(report))


def replace(path, text):
    """Whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    os.replace(new, path)


def read(folder):
    """An earlier report of the folder, or None."""
    try:
        report = json.loads((pathlib.Path(folder) / "report.json").read_text())
        return report if {"bundle", "machine", "steps"} <= report.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def counts(steps):
    found = {}
    for step in steps:
        found[step["status"]] = found.get(step["status"], 0) + 1
    return found


def verdict(report):
    """One line."""
    found = counts(report["steps"])
    text = ", ".join(f"{found[status]} {status}" for status in MARKS if status in found)
    return f"{report['machine'].get('card') or 'no card'}: {text} in {report['seconds']:.0f} s"


def markdown(report):
    lines = [f"# {report['machine'].get('card') or 'No card'}, commit {report['bundle'].get('commit', 'unknown')}, {report['date']}", "", verdict(report) + ".", ""]
    if report["device"]:
        lines += [f"{report['device'][0].upper()}{report['device'][1:]}.", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {cell(value)} |" for name, value in {**report["machine"], **report["bundle"], "command": report["command"]}.items()]
    lines += ["", "| step | | s | figures | |", "|---|---|---|---|---|"]
    for step in report["steps"]:
        lines.append(f"| {step['name']} | {MARKS[step['status']]} | {step['seconds']:.1f} | {cell(short(step['figures']))} | {cell(step['reason'])} |")
    for step in report["steps"]:
        lines += tables(step)
        if step.get("text"):
            lines += ["", f"## {step['name']}", "", "```text", *step["text"].replace("```", "'''").splitlines(), "```"]
    for step in report["steps"]:
        if step["tail"]:
            lines += ["", f"## {step['name']} {step['status']}: the end of {step['log']}", "", "```", *(line.replace("```", "'''") for line in step["tail"]), "```"]
    return "\n".join(lines) + "\n"


def short(figures):
    return ", ".join(f"{name} {value}" for name, value in figures.items() if not isinstance(value, dict))


def tables(step):
    """Figures that are tables themselves."""
    lines = []
    for name, table in step["figures"].items():
        if isinstance(table, dict):
            lines += ["", f"## {step['name']}: {name}", "", f"| | {name} |", "|---|---|", *(f"| {cell(row)} | {cell(value)} |" for row, value in table.items())]
    return lines


def cell(value):
    return " ".join(str(value).split()).replace("|", "\\|")
