"""The fixture for people's own tests, used as they would use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

pytest_plugins = ["pytester"]

_CODE = """
import os
import signal
import time

import pytest
import torch
import torch.distributed as dist


def total(value):
    tensor = torch.tensor([float(value + dist.get_rank())])
    dist.all_reduce(tensor)
    return tensor.item()


def save(value):
    if dist.get_rank() == 0:
        dist.barrier()
    else:
        dist.all_reduce(torch.ones(value))


def wait_for_nobody():
    if dist.get_rank() != 1:
        dist.barrier()


def fail():
    if dist.get_rank() == 1:
        raise ValueError("no such shard")
    dist.barrier()


def die():
    # Otherwise rank 0 may be gone before rank 1 has made its group.
    dist.barrier()
    if dist.get_rank() == 1:
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)


def leave(code):
    dist.all_reduce(torch.ones(1))
    if dist.get_rank() == 1:
        os._exit(code)
    # Through the store, which rank 1 does not close by its end.
    dist.new_group([0, 1])


def leave_a_barrier():
    dist.all_reduce(torch.ones(1))
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()


def leave_before():
    if os.environ["RANK"] == "1":
        os._exit(5)
    time.sleep(60)


def own_group():
    dist.init_process_group("gloo")
    dist.barrier()
    dist.destroy_process_group()
    return os.environ["LOCAL_RANK"]


def nothing():
    return 1


def test_total(collective_trace):
    assert collective_trace(total, 3, args=(1,)) == [6.0, 6.0, 6.0]


def test_mismatch(collective_trace):
    collective_trace(save, args=(3,))


def test_deadlock(collective_trace):
    collective_trace(wait_for_nobody, 3)


def test_exception(collective_trace):
    collective_trace(fail)


def test_killed(collective_trace):
    collective_trace(die, timeout=20)


def test_left_while_the_other_waits(collective_trace):
    collective_trace(leave, args=(3,), timeout=100)


def test_killed_while_the_other_waits(collective_trace):
    collective_trace(leave_a_barrier, timeout=100)


def test_left_before_it_joined(collective_trace, monkeypatch):
    monkeypatch.setattr("collectivelint.runtime.testing._GRACE", 2.0)
    collective_trace(leave_before, backend=None, timeout=100)


def test_own_group(collective_trace):
    assert collective_trace(own_group, backend=None) == ["0", "1"]
    assert collective_trace(nothing, 1, backend=None) == [1]
"""


def test_fixture(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    pytester.makepyfile(test_mine=_CODE)
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=400)
    ran.assert_outcomes(passed=2, failed=7)
    ran.stdout.re_match_lines_random(
        [
            r".*MISMATCH: rank 0 and rank 1 disagree about the operation of call #1 on the default group \{0,1\}",
            r".*test_mine\.py:\d+  save -> barrier\(\).*",
            r".*test_mine\.py:\d+  save -> all_reduce\(SUM, float32\[3\]\).*",
            r".*DEADLOCK(?: after \d\.\d s)?: ranks 0,2 wait in barrier on the default group \{0,1,2\}; rank 1 will never reach it",
            r".*ValueError: no such shard",
            r".*rank 1 was killed by SIGKILL \(exit code -9\) and returned no result",
            r".*DEADLOCK after \d+\.\d s: rank 0 waits in new_group on the default group \{0,1\}; rank 1 will never reach it",
            r".*test_mine\.py:\d+  leave -> new_group\(ranks=\[0, 1\]\).*",
            r"rank 1 exited with code 3 and returned no result",
            r".*test_mine\.py:\d+  leave_a_barrier -> barrier\(\).*",
            r"rank 1 exited with code 5 and returned no result",
            r"rank 0 returned no result in the 2 s after that",
        ]
    )
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("collectivelint")]
