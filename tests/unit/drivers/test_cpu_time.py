"""CPU time of a session, as the kernel counts it."""

from __future__ import annotations

import subprocess
import sys

from simulator.drivers.cpu_time import used_ns

# Works for 0.3 s of CPU, says so, and waits; so does a child of its own.
WORK = """
import subprocess, sys, time
def work():
    while time.process_time() < 0.3: pass
work()
if len(sys.argv) > 1:
    child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
print(flush=True)
sys.stdin.read()
"""


def test_all_processes_of_a_session_count_and_nobody_elses():
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        process.stdout.readline()
        assert 0.55e9 < used_ns(process.pid) < 10e9
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    assert used_ns(2**22 + 1) == 0
