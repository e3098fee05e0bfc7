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
        found = {"cases": len(written["cases"]), "wrong": sum(1 for c in written["cases"] for i in c["implementations"] if i.get("valid") is False)}
        found.update({name.replace("_", " "): round(value, 2) for name, value in (written.get("ceilings") or {}).items() if value is not None})
        found["cold, or warm where nothing is rotated"] = {f"{c['family']}/{c['name']}": ", ".join(map(implementation, c["implementations"])) for c in written["cases"]}
        return found
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def implementation(i):
    timing = i.get("cold") or i.get("warm")
    if timing:
        return f"{i['name']} {timing['median_us']:.4g} µs ({timing['percent_of_ceiling']:.0f} %)"
    return f"{i['name']} not run: {i['skipped']}" if "skipped" in i else f"{i['name']} {'right' if i.get('valid') else 'wrong'}"
