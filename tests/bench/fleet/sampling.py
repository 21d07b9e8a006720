"""Where the CPU goes: `python sampling.py FILE PROGRAM` runs a Python program and notes its stack every 2 ms of CPU.

FILE gets one line for each distinct stack, outermost function first, and how often it was seen ("folded" stacks, as
flame graphs are made of), and before them the functions by their share: alone, and with all that they call.
"""

from __future__ import annotations

import atexit
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

_INTERVAL = 0.002
_SHOWN = 60

_stacks: Counter[tuple[str, ...]] = Counter()


def _note(_: int, frame: FrameType | None) -> None:
    stack = []
    while frame is not None:
        code = frame.f_code
        stack.append(f"{_short(code.co_filename)}:{code.co_qualname}")
        frame = frame.f_back
    _stacks[tuple(reversed(stack))] += 1


def _short(path: str) -> str:
    return path.partition("site-packages/")[2] or path.rpartition("/operator/")[2] or path


def _report(path: Path) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    total = max(1, _stacks.total())
    alone: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for stack, count in _stacks.items():
        alone[stack[-1]] += count
        for each in set(stack):
            within[each] += count
    lines = [f"{total} samples, one for each {_INTERVAL * 1000:.0f} ms of CPU"]
    for title, counted in (("alone", alone), ("with all that they call", within)):
        lines += ["", f"share {title}"]
        lines += [f"{count / total:6.1%}  {name}" for name, count in counted.most_common(_SHOWN)]
    lines += ["", *(f"{';'.join(stack)} {count}" for stack, count in _stacks.most_common())]
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Runs the program as if it had been started by itself."""
    output, program = Path(sys.argv[1]), sys.argv[2]
    sys.argv = [program, *sys.argv[3:]]
    atexit.register(_report, output)
    signal.signal(signal.SIGPROF, _note)
    signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
