"""Reading what Mica's programs and NVIDIA's tools print."""
import csv
import json
import re


def catch2(text):
    """Figures of a run of mica_tests, from Catch2's summary; {} where there is none (it crashed)."""
    figures = {}
    if whole := re.search(r"All tests passed \((\d+) assertions? in (\d+) test cases?\)", text):
        figures = {"test cases": int(whole[2]), "assertions": int(whole[1]), "failed": 0}
    elif cases := re.search(r"^test cases:\s+(\d+)\s*(\|.*)$", text, re.M):
        failed = re.search(r"(\d+) failed", cases[2])
        assertions = re.search(r"^assertions:\s+(\d+)", text, re.M)
        figures = {"test cases": int(cases[1]), "assertions": int(assertions[1]) if assertions else 0, "failed": int(failed[1]) if failed else 0}
    if figures and (skipped := skips(text)):
        figures["skipped inside"] = len(skipped)
    return figures


def skips(text):
    """The reasons for which test cases did nothing: "skipped: …" in warnings, which Catch2 folds."""
    return [" ".join(reason.split()) for reason in re.findall(r"^ *skipped: (.*(?:\n +\S.*)*)", text, re.M)]


LOST = "the CUDA device is lost for this process"  # kernels/cuda/check.cpp


def failures(text):
    """(place in the text, title, body) of each failure, as Catch2's console reporter has them: a title between lines of dashes, the name of
    the case and of its sections, then places and, somewhere in there, FAILED."""
    lines = [match for match in re.finditer(r"^-{60,}$", text, re.M)]
    ends = [match.start() for match in lines[2::2]] + [len(text)]
    blocks = [(above.start(), text[above.end():below.start()], text[below.end():end]) for above, below, end in zip(lines[::2], lines[1::2], ends)]
    return [block for block in blocks if re.search(r"FAILED:|due to a fatal error|unexpected exception", block[2])]


def failed_tests(text):
    return list(dict.fromkeys(" ".join(title.split()) for _, title, _ in failures(text)))


def loses_the_device(body):
    return LOST in " ".join(body.split())


def ends_its_process(body):
    """Is that a failure after which the process can do no further case?"""
    return loses_the_device(body) or "due to a fatal error condition" in body


def training(log):
    """Figures of the last epoch of a log of `mnist --log`; {} where it has none."""
    try:
        with open(log, newline="") as file:
            rows = list(csv.DictReader(file))
        last = rows[-1]
        return {"images/s": round(float(last["images_per_second"])), "epoch s": round(float(last["seconds"]), 3),
                "epochs": len(rows), "train loss": float(last["train_loss"]), "test accuracy %": float(last["test_accuracy"])}
    except (OSError, IndexError, KeyError, ValueError, TypeError):
        return {}


def sanitizer(text):
    """Errors and hazards that compute-sanitizer counted, or None where it came to no summary. racecheck has a line of its own."""
    counts = [int(n) for n in re.findall(r"ERROR SUMMARY: (\d+) error", text)]
    counts += [int(n) for n in re.findall(r"RACECHECK SUMMARY: (\d+) hazard", text)]
    return sum(counts) if counts else None


def sanitizer_refused(text):
    """The line by which compute-sanitizer says that it cannot work here, or nothing."""
    said = r"^(?:=+ )?(.*(?:Device not supported|Internal Sanitizer Error|Unable to find injection library).*)$|^=+ (.*\bUnsupported\b.*)$"
    line = re.search(said, text, re.M)
    return (line[1] or line[2]).strip() if line else ""


def json_lines(text):
    """The objects among the lines of a text."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                pass
    return found


def microbenchmarks(file):
    """Of a file of `microbench --json`: the ceilings, and a line for each case; {} where it has no case."""
    try:
        with open(file) as opened:
            written = json.load(opened)
        if not written["cases"]:
            return {}
        outcomes = [outcome(c, i) for c in written["cases"] for i in c["implementations"]]
        without_result = sum("error" in c and "failed" not in [outcome(c, i) for i in c["implementations"]] for c in written["cases"])
        found = {"cases": len(written["cases"]), "wrong": outcomes.count("wrong"), "failed": outcomes.count("failed") + without_result}
        found.update({name.replace("_", " "): round(value, 2) for name, value in (written.get("ceilings") or {}).items() if value is not None})
        found["cold, or warm where nothing is rotated"] = {f"{c['family']}/{c['name']}": case(c) for c in written["cases"]}
        return found
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def outcome(c, i):
    """Of an implementation of a case: right, wrong, failed or not run. Where something was thrown, the case has an `error` that begins with the
    implementation's name; the error of a wrong one is above its bound, or no number."""
    if "skipped" in i:
        return "not run"
    if i.get("valid") is not False:
        return "right"
    if i.get("error") is None:
        return "failed" if re.search(rf"(^|; ){re.escape(i['name'])}: ", c.get("error", "")) else "wrong"
    return "failed" if "error" in c and i["error"] <= i["bound"] else "wrong"  # it was not come to


def case(c):
    """What the report says of a case: its implementations, and what was thrown."""
    return "; ".join(filter(None, [", ".join(implementation(c, i) for i in c["implementations"]), c.get("error")]))


def implementation(c, i):
    timing = i.get("cold") or i.get("warm")
    if timing:
        marks = "".join(f" {mark}" for key, mark in (("graph", "graph"), ("launch_bound", "launch-bound")) if timing.get(key))
        return f"{i['name']} {timing['median_us']:.4g} µs ({timing['percent_of_ceiling']:.0f} %){marks}"
    return f"{i['name']} {outcome(c, i)}" + (f": {i['skipped']}" if "skipped" in i else "")
