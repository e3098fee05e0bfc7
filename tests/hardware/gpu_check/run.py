"""One step while it runs: its log, its time, its figures."""
import os
import pathlib
import shlex
import shutil
import time

from . import process


class Skipped(Exception):
    """A step that cannot be done here, with the reason."""


class Failed(Exception):
    """A step that found something wrong, with what."""


class TimedOut(Exception):
    """A step whose time is over."""


def ways_that_failed(failed, count):
    """A sentence, of {way: why}, where there are count ways; empty where none failed."""
    return f"{len(failed)} of {count} ways failed: " + "; ".join(f"{name} ({why})" for name, why in failed.items()) if failed else ""


class Run:
    def __init__(self, step, machine, out, limit, small):
        self.machine, self.out, self.small = machine, pathlib.Path(out), small
        self.name, self.limit = step.name, limit
        self.log = self.file("log")
        self.figures, self.reason = {}, ""
        self.start = time.monotonic()
        self.ended = None
        self.text = ""  # for the report, as it is
        self.printed = ""  # by the last program
        self.log.write_bytes(b"")

    def file(self, ending):
        return self.out / f"{self.name}.{ending}"

    def new_file(self, ending):
        """One that an earlier run's is not taken for."""
        self.file(ending).unlink(missing_ok=True)
        return self.file(ending)

    def left(self):
        return self.limit - (time.monotonic() - self.start)

    # ---- what a step needs ----

    def need_device(self):
        if self.machine.device:
            raise Skipped("no device")  # the head of the report says why

    def why_without(self, *libraries):
        """Empty where Mica can use them all."""
        return "; ".join(f"without {name}: {self.machine.without[name]}" for name in libraries if name in self.machine.without)

    def need_libraries(self, *libraries):
        if reason := self.why_without(*libraries):
            raise Skipped(reason)

    def program(self, name):
        path = self.machine.programs.find(name)
        if not path:
            raise Skipped(f"{name} is not in this bundle")
        return path

    def tool(self, name, *places):
        found = shutil.which(name) or next((path for place in places if os.access(path := os.path.join(place, name), os.X_OK)), None)
        if not found:
            raise Skipped(f"{name} was not found on PATH" + (f" nor in {', '.join(places)}" if places else ""))
        return found

    # ---- what it does ----

    def note(self, text):
        with open(self.log, "a") as file:
            file.write(text + "\n")

    def note_reason(self, text):
        self.reason = text

    def call(self, command, environment=None, libraries=True, own=True, check=True):
        """Runs a program to its end and returns what it printed, which is in the log too, after a line that repeats it.
        Raises TimedOut, and Failed where it ends badly, which a caller with check=False does later by check_ended()."""
        whole = {**self.machine.environment(libraries, own), **(environment or {})}
        changed = {name: value for name, value in whole.items() if os.environ.get(name) != value}
        self.note("$ " + " ".join([f"{name}={shlex.quote(value)}" for name, value in changed.items()] + [shlex.quote(str(word)) for word in command]))
        begin = self.log.stat().st_size
        try:
            self.ended = process.run(command, self.log, self.left(), whole)
        except OSError as error:
            raise Failed(f"{pathlib.Path(command[0]).name} cannot be started: {error.strerror}") from None
        with open(self.log, "rb") as file:
            file.seek(begin)
            self.printed = file.read().decode(errors="replace")
        self.command = pathlib.Path(command[0]).name
        if self.ended.code is None:
            raise TimedOut(f"{self.command} {self.ended.sentence()}")
        if check:
            self.check_ended()
        return self.printed

    def check_ended(self):
        if sentence := self.ended.sentence():
            raise Failed(f"{self.command} {sentence}")

    def why_no_result(self):
        """Of the last program: how it ended, and its last line."""
        sentence, lines = self.ended.sentence(), self.printed.splitlines()
        return f"{self.command} {sentence}" + (f": {lines[-1][:300]}" if lines else "") if sentence else f"{self.command} printed no result"

    def try_out(self, command):
        """A call for the log alone."""
        try:
            self.call(command, own=False, libraries=False, check=False)
        except Failed as failed:
            self.note(str(failed))
