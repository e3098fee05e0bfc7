"""One program under a time limit. Its whole process group ends with it, so that a hang, also of a child, costs one step."""
import functools
import os
import pathlib
import signal
import subprocess
import time

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}  # that end a step
GRACE = 2.0  # seconds between asking a group to end and killing it


class Ended:
    """How a program ended: code as subprocess has it (negative: by a signal), or None where it ran into the limit."""

    def __init__(self, code, seconds, killed=True):
        self.code, self.seconds, self.killed = code, seconds, killed

    def sentence(self):
        """Empty where it ended well."""
        if self.code is None:
            return "ran into its time limit" + ("" if self.killed else ", and could not be killed")
        if self.code < 0:
            try:
                return f"was killed by {signal.Signals(-self.code).name}"
            except ValueError:
                return f"was killed by signal {-self.code}"
        return f"ended with status {self.code}" if self.code else ""


def start(command, environment, **streams):
    """A child in a group of its own, and what lets signals through again: until then they wait, so that no Ctrl-C comes between the
    child's start and the caller's `try`, and leaves it behind. Raises OSError."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    release = functools.partial(signal.pthread_sigmask, signal.SIG_SETMASK, before)
    try:
        return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, env=environment, start_new_session=True,
                                preexec_fn=release, **streams), release
    except BaseException:
        release()
        raise


def run(command, log, limit, environment=None):
    """Appends what the command prints to the file `log`, and waits at most `limit` seconds for it. A command that cannot be
    started raises OSError. Nothing of its process group is left when this returns or raises."""
    begin = time.monotonic()
    with open(log, "ab") as out:
        child, release = start(command, environment, stdout=out)
    try:
        release()
        code, killed = child.wait(timeout=max(limit, 0.01)), True
    except subprocess.TimeoutExpired:
        code, killed = None, end(child)
    except BaseException:  # Ctrl-C
        end(child)
        raise
    signal_group(child, signal.SIGKILL)  # what it has left behind
    return Ended(code, time.monotonic() - begin, killed)


def end(child):
    """Asks the group to end, then kills it. False where the first process outlives even that (it is stuck in the driver)."""
    signal_group(child, signal.SIGINT)  # as Ctrl-C: some write what they have
    try:
        child.wait(timeout=GRACE)
    except subprocess.TimeoutExpired:
        pass
    signal_group(child, signal.SIGKILL)
    try:
        child.wait(timeout=GRACE)
    except subprocess.TimeoutExpired:
        return False
    return True


def signal_group(child, number):
    try:
        os.killpg(child.pid, number)  # the group has its first process's number
    except (ProcessLookupError, PermissionError):
        pass


def output_of(command, limit=20, environment=None):
    """What a small program prints on stdout, and its exit status: ("", None) where it cannot be run or takes too long."""
    try:
        child, release = start(command, environment, stdout=subprocess.PIPE, text=True, errors="replace")
    except OSError:
        return "", None
    try:
        release()
        return child.communicate(timeout=limit)[0], child.returncode
    except subprocess.TimeoutExpired:
        end(child)
        child.stdout.close()
        return "", None
    except BaseException:
        end(child)
        child.stdout.close()
        raise


def tail(log, lines, most_bytes=20000):
    """The last lines of a file that may be long."""
    path = pathlib.Path(log)
    if not path.exists():
        return []
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - most_bytes))
        return file.read().decode(errors="replace").splitlines()[-lines:]
