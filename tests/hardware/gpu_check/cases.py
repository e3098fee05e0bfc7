"""Test cases of mica_tests, in as many processes as it takes: one that loses the device, or crashes, takes the later ones along, and they
run again in a new process without it."""
import re

from . import figures, process
from .run import Failed, TimedOut


def run_cases(run, program, chosen, environment):
    """Runs those that Catch2's expression means, and notes their figures. Raises Failed with all that failed."""
    found, waiting = Found(), None
    while waiting is None or waiting:
        expression = chosen if waiting is None else ",".join(map(escaped, waiting))
        timed_out = None
        try:
            run.call([program, expression, "--order", "decl", "--durations", "yes"], environment, check=False)
        except TimedOut as error:
            timed_out = error
        found.processes += 1
        if not timed_out and run.ended.code == 0:
            found.ended += len(waiting or [])
            break
        waiting = names(run, program, expression, environment) if waiting is None else waiting
        waiting = found.read(waiting, run.printed, run.ended)
        if timed_out:
            break
    run.figures.update(figures.catch2(run.printed) if found.processes == 1 else
                       {"test cases": found.ended, "failed": len(found.failed + found.lost + found.crashed), "processes": found.processes})
    if timed_out:
        run.note_reason(found.sentence())
        raise timed_out
    if sentence := found.sentence():
        raise Failed(sentence)
    run.check_ended()


class Found:
    """How cases ended, over all processes: ended counts them, the lists name those that did not pass."""

    def __init__(self):
        self.processes, self.ended, self.failed, self.lost, self.crashed, self.under_way = 0, 0, [], [], [], []

    def read(self, waiting, text, ended):
        """Of what a process printed; returns the cases that must run again."""
        failures = figures.failures(text)
        fatal = next((failure for failure in failures if figures.ends_its_process(failure[2])), None)
        before = text[:fatal[0]] if fatal else text
        failed = list(dict.fromkeys(case_of(title, waiting) for place, title, _ in failures if not fatal or place < fatal[0]))
        passed = [name for name in waiting if name not in failed and re.search(rf"^\d+\.\d+ s: {re.escape(name)}$", before, re.M)]
        left = [name for name in waiting if name not in failed and name not in passed]
        by_itself = ended.code is not None and ended.code >= 0
        last = [case_of(fatal[1], waiting)] if fatal else [] if by_itself else left[:1]  # in which the process ended
        if ended.code is None:
            self.under_way += last
        elif fatal and figures.loses_the_device(fatal[2]):
            self.lost += last
        else:
            self.crashed += [f"{name} ({ended.sentence()})" for name in last]
        self.failed += failed
        self.ended += len(failed + passed + last)
        return [name for name in left if name not in last] if last and last[0] in left else []

    def sentence(self):
        kinds = [("failed", self.failed), ("lost the device", self.lost), ("crashed", self.crashed), ("was under way", self.under_way)]
        parts = [f"{len(cases)} {how}: " + "; ".join(cases[:5]) + (" …" if len(cases) > 5 else "") for how, cases in kinds if cases]
        if parts:
            count, rest = parts[0].split(" ", 1)
            parts[0] = f"{count} test case{'' if count == '1' else 's'} {rest}"
        return ". ".join(parts)


def case_of(title, names):
    """The case that a title of Catch2's means, which is wrapped and goes on with the names of sections."""
    squeezed = "".join(title.split())
    return max((name for name in names if squeezed.startswith("".join(name.split()))), key=len, default=" ".join(title.split()))


def escaped(name):
    return re.sub(r"[\\,\[]", r"\\\g<0>", name)


def names(run, program, chosen, environment):
    """Of the cases that an expression means, in their order; by Catch2 2, or 3."""
    for how in (["--list-test-names-only"], ["--list-tests", "--verbosity", "quiet"]):
        text, _ = process.output_of([program, chosen, "--order", "decl", *how], max(run.left(), process.GRACE), {**run.machine.environment(), **environment})
        if "Unrecognised token" not in text:
            break
    return [line.strip() for line in text.splitlines() if line.strip()]
