#!/usr/bin/env python3
"""What got faster or slower between two files of microbench --json.

A difference counts where the quartiles of the two do not overlap and the medians differ by more than --threshold.
Ends with 1 where something got slower, 2 where the files cannot be compared."""
import argparse
import json
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
    return report


def require_alike(a, b, paths):
    for what, get in (("device", lambda r: r["device"]["name"]), ("threads", lambda r: r["threads"]), ("sizes", lambda r: r["sizes"])):
        if get(a) != get(b):
            refuse(f"{what} differ: {get(a)} in {paths[0]}, {get(b)} in {paths[1]}; --any-device compares them all the same")


def timings(report):
    """{(case, implementation, cold or warm): timing}"""
    return {(f"{case['family']}/{case['name']}", i["name"], way): i[way]
            for case in report["cases"] for i in case["implementations"] for way in ("cold", "warm") if i.get(way)}


def verdict(old, new, threshold):
    ratio = new["median_us"] / old["median_us"]
    apart = new["low_us"] > old["high_us"] or new["high_us"] < old["low_us"]
    if not apart or abs(ratio - 1) <= threshold:
        return "same", ratio
    return ("slower" if ratio > 1 else "faster"), ratio


def row(key, old, new, ratio):
    case, implementation, way = key
    span = lambda t: f"{t['median_us']:.4g} ({t['low_us']:.4g} to {t['high_us']:.4g})"
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
    if not shared:
        refuse("no case was timed in both files; give runs of the same --filter and --sizes, without --validate")
    judged = {key: verdict(old[key], new[key], args.threshold) for key in shared}
    print(f"{before['commit']} ({before['date']}) and {after['commit']} ({after['date']}), {after['device']['name']}")
    for name in ("slower", "faster"):
        keys = sorted((key for key in shared if judged[key][0] == name), key=lambda key: -abs(judged[key][1] - 1))
        print(f"\n{len(keys)} {name}")
        if keys:
            print("| case | by | way | before, µs | after, µs | speedup |\n|---|---|---|---|---|---|")
        for key in keys:
            print(row(key, old[key], new[key], judged[key][1]))
    alone = [(path, [k for k in a if k not in b]) for path, a, b in ((args.before, old, new), (args.after, new, old))]
    print(f"\n{sum(v[0] == 'same' for v in judged.values())} of {len(shared)} the same within their spread")
    for path, keys in alone:
        if keys:
            print(f"only in {path}: " + ", ".join(sorted({key[0] + ' ' + key[1] for key in keys})))
    return 1 if any(v[0] == "slower" for v in judged.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
