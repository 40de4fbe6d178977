"""The queue: one run of the program after the other, read by threads, so that nothing waits."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from . import command, program
from .command import Progress, RequestError, Summary

# Seconds a run gets to clean up after a cancel, before it is killed.
GRACE = 5.0
# The same for a cancel by the user, who sees that it goes on; loading a network takes that long.
LONG_GRACE = 30.0
# Lines of results that are kept for the panel.
KEPT = 8


@dataclass(frozen=True, slots=True)
class Job:
    """One run.

    label: what is matted, for people. place: puts the result into the file; returns a line for
    people, or another job where the result is not of use; raises RequestError.
    """

    label: str
    command: list[str]
    place: Callable[[Summary], str | Job]


class Run:
    """A started process. progress: the newest. messages: its other lines on standard error."""

    def __init__(self, made: list[str]) -> None:
        self.progress: Progress | None = None
        self.messages: list[str] = []
        self.output = ""
        # A group of its own, so that Ctrl-C in Blender's terminal does not end the run.
        self._process = subprocess.Popen(
            made,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=program.environment(),
            creationflags=program.hidden(),
            start_new_session=os.name != "nt",
        )
        self._readers = [
            threading.Thread(target=read, daemon=True)
            for read in (self._read_output, self._read_messages)
        ]
        for reader in self._readers:
            reader.start()

    @property
    def ended(self) -> bool:
        """Whether the process has ended and everything it said is read."""
        ended = self._process.poll() is not None
        return ended and not any(reader.is_alive() for reader in self._readers)

    @property
    def code(self) -> int:
        """The exit code of a process that has ended."""
        return int(self._process.returncode)

    def ask_to_end(self) -> None:
        """Ask the process to clean up and end."""
        if self._process.poll() is None:
            self._process.terminate()

    def end(self, grace: float) -> None:
        """Ask the process to end, and kill it with what it has started after so many seconds."""
        self.ask_to_end()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            if os.name == "nt":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _read_output(self) -> None:
        assert self._process.stdout
        with self._process.stdout as pipe:
            self.output = pipe.read()

    def _read_messages(self) -> None:
        assert self._process.stderr
        with self._process.stderr as pipe:
            for line in pipe:
                if progress := command.progress(line):
                    self.progress = progress
                elif line.strip():
                    self.messages.append(line.strip())


@dataclass(slots=True)
class Queue:
    """Jobs that wait, the one that runs, and what became of those before.

    results: pairs of 'INFO', 'WARNING' or 'ERROR' and a line, the newest last. count: jobs since
    the queue was empty; ended: those of them that are over.
    """

    waiting: deque[Job] = field(default_factory=deque)
    results: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=KEPT))
    count: int = 0
    ended: int = 0
    _job: Job | None = None
    _run: Run | None = None
    _cancelled: bool = False
    _cancelled_at: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return self._job is not None or bool(self.waiting)

    @property
    def share(self) -> float:
        """How much of all jobs is done, from 0 to 1."""
        running = self._run.progress.share if self._run and self._run.progress else 0.0
        return (self.ended + running) / self.count if self.count else 0.0

    @property
    def status(self) -> str:
        """What is being done, for people."""
        if self._job is None:
            return ""
        place = f"{self.ended + 1} of {self.count}: " if self.count > 1 else ""
        how = "cancelling" if self._cancelled else "starting"
        if self._run and self._run.progress and not self._cancelled:
            how = str(self._run.progress)
        return f"{place}{self._job.label}, {how}"

    def labels(self) -> set[str]:
        """The labels of all jobs that wait, or run and are not cancelled."""
        running = [self._job] if self._job and not self._cancelled else []
        return {job.label for job in (*self.waiting, *running)}

    def add(self, job: Job) -> None:
        """Put a job at the end."""
        if not self.busy:
            self.count = self.ended = 0
        self.waiting.append(job)
        self.count += 1

    def cancel(self, reason: str = "") -> None:
        """Drop what waits, and ask what runs to end. reason: a line for people."""
        dropped = len(self.waiting)
        self.waiting.clear()
        self.count -= dropped
        if self._run is not None and not self._cancelled:
            self._cancelled, self._cancelled_at = True, time.monotonic()
            self._run.ask_to_end()
        if reason and (dropped or self._job):
            self._tell("WARNING", reason)

    def end(self) -> None:
        """End everything at once, without a result."""
        self.waiting.clear()
        if self._run is not None:
            self._run.end(GRACE)
        self._run, self._job, self._cancelled = None, None, False

    def step(self) -> None:
        """Do what can be done without waiting: start, look, place."""
        if self._run and self._cancelled and time.monotonic() > self._cancelled_at + LONG_GRACE:
            self._run.end(0)
        if self._job is None and self.waiting:
            self._start(self.waiting.popleft())
        elif self._job and self._run and self._run.ended:
            job, run, cancelled = self._job, self._run, self._cancelled
            self._job, self._run, self._cancelled = None, None, False
            self.ended += 1
            self._finish(job, run, cancelled)

    def _start(self, job: Job) -> None:
        try:
            self._job, self._run = job, Run(job.command)
        except OSError as error:
            self._job = None
            self.ended += 1
            self._tell("ERROR", f"{job.label}: {job.command[0]} cannot be started ({error})")

    def _finish(self, job: Job, run: Run, cancelled: bool) -> None:
        if cancelled:
            return self._tell("WARNING", f"{job.label}: cancelled")
        if run.code:
            return self._tell("ERROR", f"{job.label}: {command.failure(run.code, run.messages)}")
        try:
            made = command.summary(run.output)
            line = job.place(made)
            if isinstance(line, Job):
                self.waiting.appendleft(line)
                self.ended -= 1
                return None
        except RequestError as error:
            return self._tell("ERROR", f"{job.label}: {error}")
        return self._tell("WARNING" if made.notes else "INFO", "; ".join((line, *made.notes)))

    def _tell(self, level: str, line: str) -> None:
        self.results.append((level, line))
