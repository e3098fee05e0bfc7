#!/usr/bin/env python3
"""What got faster or slower between two files of microbench --json.

A difference counts where the quartiles of the two do not overlap and the medians differ by more than --threshold, and both were timed as a
graph or both by calls. Ends with 1 where something got slower or wrong, or failed in the second, 2 where the files cannot be compared."""
import argparse
import json
import re
import sys


def refuse(text):
    print(f"compare.py: {text}", file=sys.stderr)
    sys.exit(2)


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
    except OSError as error:
        refuse(f"{path}: {error.strerror}; give two files that microbench --json wrote")
    except ValueError as error:
        refuse(f"{path}: no JSON ({error}); give two files that microbench --json wrote")
    if not isinstance(report, dict) or report.get("program") != "microbench":
        refuse(f"{path}: not written by microbench; give two files that microbench --json wrote")
    if report.get("schema") != 1:
        refuse(f"{path}: schema {report.get('schema')}, expected 1; measure again by this version of microbench")
    for key in ("device", "threads", "sizes", "commit", "date", "cases"):
        if key not in report:
            refuse(f"{path}: no '{key}'; give two files that microbench --json wrote")
    return report


def device(report):
    """Its name, with the driver's version and what else microbench tells of it."""
    about = report["device"].get("about")
    return report["device"].get("name", "unknown") + (f" ({about})" if about else "")


def require_alike(a, b, paths):
    for what, get in (("device", lambda r: r["device"].get("name")), ("threads", lambda r: r["threads"]), ("sizes", lambda r: r["sizes"])):
        if get(a) != get(b):
            refuse(f"{what} differ: {get(a)} in {paths[0]}, {get(b)} in {paths[1]}; --any-device compares them all the same")


def timings(report):
    """{(case, implementation, cold or warm): timing}"""
    return {(f"{case['family']}/{case['name']}", i["name"], way): i[way]
            for case in report["cases"] for i in case["implementations"] for way in ("cold", "warm") if i.get(way)}


def threw(case, i):
    """A case's error begins with the name of the implementation that threw; where it has none, the rest was not come to. The error of a wrong
    implementation is above its bound, or no number."""
    if "error" not in case or i.get("valid") is not False:
        return False
    return i["error"] <= i["bound"] if i.get("error") is not None else bool(re.search(rf"(^|; ){re.escape(i['name'])}: ", case["error"]))


def outcomes(report):
    """{(case, implementation): timed, right, wrong, or not run, with the reason}, without those that threw: failures() has them."""
    def outcome(i):
        if "skipped" in i:
            return "not run", f" ({i['skipped']})"
        return ("timed" if i.get("cold") or i.get("warm") else "wrong" if i.get("valid") is False else "right"), ""
    return {(f"{case['family']}/{case['name']}", i["name"]): outcome(i) for case in report["cases"] for i in case["implementations"] if not threw(case, i)}


def failures(report):
    """{case: why} of those in which something was thrown, or of which nothing was run."""
    return {f"{case['family']}/{case['name']}": case.get("error", "nothing of it was run") for case in report["cases"]
            if "error" in case or all("skipped" in i for i in case["implementations"])}


def changed_outcomes(a, b, paths):
    """{(case, implementation): a line} of those that came to something else; and whether one of them got wrong."""
    old, new = outcomes(a), outcomes(b)
    changed = {key: f"{' '.join(key)}: " + ", ".join(f"{found[key][0]} in {path}{found[key][1]}" for found, path in zip((old, new), paths))
               for key in old if key in new and old[key][0] != new[key][0]}
    return changed, any(new[key][0] == "wrong" for key in changed)


def verdict(old, new, threshold):
    ratio = new["median_us"] / old["median_us"]
    if {old.get("graph"), new.get("graph")} == {False, True}:
        return "timed differently", ratio
    apart = new["low_us"] > old["high_us"] or new["high_us"] < old["low_us"]
    if not apart or abs(ratio - 1) <= threshold:
        return "same", ratio
    return ("slower" if ratio > 1 else "faster"), ratio


def row(key, old, new, ratio):
    case, implementation, way = key
    span = lambda t: f"{t['median_us']:.4g} ({t['low_us']:.4g} to {t['high_us']:.4g})" + (" graph" if t.get("graph") else "")
    return f"| {case} | {implementation} | {way} | {span(old)} | {span(new)} | {1 / ratio:.2f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before"), parser.add_argument("after")
    parser.add_argument("--threshold", type=float, default=0.03, help="of the medians, below which nothing counts (default 0.03)")
    parser.add_argument("--any-device", action="store_true", help="compare figures of different devices, threads or sizes")
    args = parser.parse_args()
    before, after = read(args.before), read(args.after)
    if not args.any_device:
        require_alike(before, after, (args.before, args.after))
    old, new = timings(before), timings(after)
    shared = [key for key in old if key in new]
    changed, got_wrong = changed_outcomes(before, after, (args.before, args.after))
    failed = [failures(before), failures(after)]
    if not shared and not changed and not any(failed):
        refuse("no case was timed in both files; give runs of the same --filter and --sizes, without --validate")
    judged = {key: verdict(old[key], new[key], args.threshold) for key in shared}
    print(f"{before['commit']} ({before['date']}) and {after['commit']} ({after['date']}), {device(after)}")
    if device(before) != device(after):
        print(f"the device differs: {device(before)} in {args.before}, {device(after)} in {args.after}")
    for report, path in ((before, args.before), (after, args.after)):
        if report.get("interrupted"):
            print(f"{path} was interrupted: cases are missing")
    for name, means in (("slower", ""), ("faster", ""), ("timed differently", ", as a graph in one file only, which say nothing of the code")):
        keys = sorted((key for key in shared if judged[key][0] == name), key=lambda key: -abs(judged[key][1] - 1))
        if means and not keys:
            continue
        print(f"\n{len(keys)} {name}{means}")
        if keys:
            print("| case | by | way | before, µs | after, µs | speedup |\n|---|---|---|---|---|---|")
        for key in keys:
            print(row(key, old[key], new[key], judged[key][1]))
    alone = [(path, [k for k in a if k not in b and k[:2] not in changed and k[0] not in failed_there])
             for path, a, b, failed_there in ((args.before, old, new, failed[1]), (args.after, new, old, failed[0]))]
    counted = [v[0] for v in judged.values() if v[0] != "timed differently"]
    print(f"\n{counted.count('same')} of {len(counted)} the same within their spread", *changed.values(), sep="\n")
    for path, cases in zip((args.before, args.after), failed):
        for case, why in cases.items():
            print(f"{case}: failed in {path} ({why})")
    for path, keys in alone:
        if keys:
            print(f"only in {path}: " + ", ".join(sorted({key[0] + ' ' + key[1] for key in keys})))
    return 1 if got_wrong or failed[1] or "slower" in counted else 0


if __name__ == "__main__":
    sys.exit(main())
