"""The command line of gpu-check."""
import argparse
import datetime
import difflib
import json
import os
import pathlib
import resource
import shlex
import signal
import sys
import time
import traceback

from . import process, report
from .machine import Machine, Programs
from .run import Failed, Run, Skipped, TimedOut
from .steps import STEPS

HOME = pathlib.Path(__file__).resolve().parents[1]
WHOLE_RUN, ASKING = 480, 15  # seconds: all of it; asking what the machine has
DONE, FOUND_FAILURES, BAD_USAGE, NO_DEVICE, INTERRUPTED = 0, 1, 2, 3, 130


def parse(arguments):
    parser = argparse.ArgumentParser(prog="gpu-check", description="Tries Mica on this machine's GPU, most valuable first, within eight minutes, and writes "
                                     "report.md and report.json.", epilog="Exit status: 0 all that could be tried passed, 1 something failed, 2 an option that means nothing, "
                                     "3 there is no device, 130 Ctrl-C. MICA_DATA names a folder with MNIST's four files; without it the bundle's part of them is used.")
    parser.add_argument("--only", metavar="STEP", action="append", help="this step (again for more); others stay in the report as they were")
    parser.add_argument("--list", action="store_true", help="name the steps and stop")
    parser.add_argument("--out", metavar="DIR", default="mica-gpu-report", help="folder for report and logs (default: %(default)s)")
    parser.add_argument("--limit-scale", metavar="FACTOR", type=positive, default=1.0, help="multiplies every time limit, also the whole run's")
    parser.add_argument("--python", metavar="PROGRAM", help="a Python that has PyTorch (default: this one, or python3)")
    parser.add_argument("--binaries", metavar="DIR", help="a build folder of CMake's in place of a bundle's programs")
    parser.add_argument("--small", action="store_true", help="the least of every step, to try this program itself; figures mean nothing")
    options = parser.parse_args(arguments)
    names = [step.name for step in STEPS]
    for name in options.only or []:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            parser.error(f"--only {name}: there is no such step" + (f", did you mean {near[0]}?" if near else "") + f" Steps are {', '.join(names)}.")
    return options, parser


def positive(text):
    value = float(text)
    if not 0 < value < 1000:
        raise ValueError
    return value


def interrupt(number, frame):
    """The first one ends the step; more of them do not stop its processes from being ended, nor the report."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


SIGNALS = process.SIGNALS  # they wait while a report is written


def do(step, machine, out, limit, small):
    """Runs a step; what the report says of it, and whether the rest is to be run."""
    run = Run(step, machine, out, limit, small)
    go_on = True
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if limit <= 0:
            raise Skipped("no time was left for it; --only repeats it")
        step.work(run)
        status, reason = "passed", run.reason
    except Skipped as skipped:
        status, reason = "skipped", str(skipped)
    except Failed as failed:
        status, reason = "failed", str(failed)
    except TimedOut as timed_out:
        status, reason = "timed out", f"{timed_out} of {limit:.0f} s" + (f"; {run.reason}" if run.reason else "")
    except KeyboardInterrupt:
        status, reason, go_on = "interrupted", "", False
    except Exception as error:  # a mistake in the step itself costs that step only
        run.note(traceback.format_exc())
        status, reason = "failed", f"gpu-check itself: {type(error).__name__}: {error}"
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    bad = status in ("failed", "timed out", "interrupted")
    return {"name": step.name, "title": step.title, "status": status, "reason": reason, "seconds": round(time.monotonic() - run.start, 2),
            "figures": run.figures, "text": run.text, "log": run.log.name, "tail": process.tail(run.log, 25) if bad else []}, go_on


def not_run(step):
    return {"name": step.name, "title": step.title, "status": "not run", "reason": "", "seconds": 0, "figures": {}, "text": "", "log": "", "tail": []}


def start_report(options, machine, about):
    return {"bundle": about, "machine": machine.facts, "device": machine.device, "seconds": 0,
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "command": shlex.join(["gpu-check", *sys.argv[1:]]), "small": options.small, "steps": []}


def last_end(begin, scale):
    """When the last step must end, so that the whole run does where ending that one takes its time."""
    return begin + (WHOLE_RUN - 3 * process.GRACE) * scale


def end_of(step, before, now, last, scale):
    """Until when a step may run, if the one before it had until `before`. It has its seconds, and what was left over; what those before it took
    beyond theirs, as one does that does not end when asked to, is missing for the last ones."""
    return min(max(before, now) + step.seconds * scale, last)


def check(options, machine, about, begin):
    """All chosen steps; returns the report."""
    end, last, out = begin + ASKING * options.limit_scale, last_end(begin, options.limit_scale), pathlib.Path(options.out)
    written = start_report(options, machine, about)
    earlier = report.read(out) if options.only else None
    known = {step["name"]: step for step in earlier["steps"]} if earlier and earlier["bundle"] == about else {}
    chosen = [step for step in STEPS if not options.only or step.name in options.only]
    entries = {step.name: known.get(step.name) or not_run(step) for step in STEPS if not options.only or step.name in options.only or step.name in known}
    written["steps"] = list(entries.values())
    for step in chosen:
        end = end_of(step, end, time.monotonic(), last, options.limit_scale)
        print(f"{step.name:22}", end="", flush=True)
        entry, go_on = do(step, machine, out, end - time.monotonic(), options.small)
        print(f"{entry['status']:12}{entry['seconds']:6.1f} s  {report.short(entry['figures'])}{'  ' if entry['figures'] else ''}{entry['reason']}", flush=True)
        entries[step.name] = entry
        written["steps"], written["seconds"] = list(entries.values()), round(time.monotonic() - begin, 1)
        report.write(written, out)
        if not go_on:
            break
    return written


def status_of(written, chosen):
    found = {step["status"] for step in written["steps"] if not chosen or step["name"] in chosen}
    if "interrupted" in found:
        return INTERRUPTED
    if found & {"failed", "timed out"}:
        return FOUND_FAILURES
    return NO_DEVICE if written["device"] else DONE


def main(arguments):
    options, parser = parse(arguments)
    if options.list:
        for step in STEPS:
            print(f"{step.name:22}{step.seconds:4} s  {step.title}")
        return DONE
    about_file = HOME / "about.json"
    if not options.binaries and not about_file.exists():
        parser.error("this is not a bundle (`make gpu-bundle` packs one): --binaries names a build folder")
    programs = Programs(options.binaries or HOME)
    about = json.loads(about_file.read_text()) if about_file.exists() else {"commit": "unknown", "binaries": str(programs.folder)}
    pathlib.Path(options.out).mkdir(parents=True, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # a crash leaves no file of the card's size
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        begin = time.monotonic()
        machine = Machine(programs, options.python, about)
        print(machine.facts.get("card", "no card") + (f"; {machine.device}" if machine.device else ""), flush=True)
        written = check(options, machine, about, begin)
    except KeyboardInterrupt:
        print("interrupted outside of a step")
        return INTERRUPTED
    print(f"{report.verdict(written)}\nreport: {pathlib.Path(options.out) / 'report.md'}")
    return status_of(written, options.only)
