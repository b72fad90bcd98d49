"""Calls from several threads, forks, interrupts and shutdown: each would once have hung, crashed or waited its turn."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import numpy as np
import pytest

from bitvit.program import Interpreter
from bitvit.runtime import Engine
from tests.support.random_programs import random_images, random_program

HERE = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 120  # only against hanging for ever
# Python's own: a process with threads forks (3.12), and a free-threaded one takes its global lock back.
WITHOUT_WARNINGS = ("-W", "ignore::DeprecationWarning", "-W", "ignore::RuntimeWarning")

PREAMBLE = """
import tests.support.sanitized_core
import os, signal, sys, threading, time
import numpy as np
from bitvit import _core
from bitvit.runtime import Engine
from tests.support.random_programs import random_images, random_program

file = random_program(1)
images = random_images(file, 4, 1)
def engine(threads=2):
    return Engine(file.program, file.tensors, threads=threads)
"""


def _outcome(code: str) -> tuple[int, str, str]:
    """Exit code, output and errors of code in a fresh process that believes it has four processors."""
    result = subprocess.run(
        [sys.executable, *WITHOUT_WARNINGS, "-c", PREAMBLE + code],
        capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False, cwd=HERE,
        env={**os.environ, "BITVIT_PROCESSORS": "4"},
    )  # fmt: skip
    return result.returncode, result.stdout.strip(), result.stderr


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_children_of_a_fork_work_while_another_thread_predicts(threads: int) -> None:
    code = f"""
net = engine({threads})
expected = net.run(images)
stop = threading.Event()
def predict():
    while not stop.is_set():
        net.run(images)
workers = [threading.Thread(target=predict) for _ in range(3)]
for worker in workers: worker.start()
good = 0
for i in range(20):
    pid = os.fork()
    if pid == 0:
        same = all(np.array_equal(net.run(images[:b]), expected[:b]) for b in (4, 1, 3))
        same = same and np.array_equal(engine({threads}).run(images), expected)
        helpers = _core.threads()["helpers"]
        os._exit(0 if same and helpers == {threads} - 1 else 1)
    good += os.waitpid(pid, 0)[1] == 0
stop.set()
for worker in workers: worker.join()
print(good)
"""
    assert _outcome(code) == (0, "20", "")


def test_fork_in_a_signal_handler_of_a_running_call() -> None:
    code = """
net = engine(4)
many = np.concatenate([images] * 5000)
expected = net.run(images)
child = []
def handler(number, frame):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    child.append(os.fork())
signal.signal(signal.SIGUSR1, handler)
threading.Thread(target=lambda: (time.sleep(0.05), os.kill(os.getpid(), signal.SIGUSR1)), daemon=True).start()
while not child:
    found = net.run(many)
same = np.array_equal(found, np.concatenate([expected] * 5000))
if child[0] == 0:
    os._exit(0 if same else 1)
print(same, os.waitpid(child[0], 0)[1])
"""
    assert _outcome(code) == (0, "True 0", "")


def test_threads_that_cannot_be_started_are_done_without() -> None:
    code = """
import resource, warnings
expected = engine(1).run(images)
os.setgid(65534); os.setuid(65534)  # the limit does not hold for root
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    net = engine(4)
same = all(np.array_equal(net.run(images[:b]), expected[:b]) for b in (4, 1))
print(same, _core.threads()["helpers"], len(caught), str(caught[0].message))
"""
    if os.geteuid() != 0:
        code = code.replace("os.setgid(65534); os.setuid(65534)", "")
    assert _outcome(code) == (
        0,
        "True 0 1 only 1 of 4 threads could be started; the operating system gives no more",
        "",
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n_daemons", [1, 5])
def test_exit_while_daemon_threads_run(threads: int, n_daemons: int) -> None:
    code = f"""
net = engine({threads})
many = np.concatenate([images] * 500)
started = threading.Semaphore(0)
def predict():
    while True:
        started.release()
        net.run(many)
for _ in range({n_daemons}):
    threading.Thread(target=predict, daemon=True).start()
for _ in range(2 * {n_daemons}):
    started.acquire()
print("end")
"""
    for _ in range(3):
        assert _outcome(code) == (0, "end", "")


def test_exit_handlers_can_still_run_a_model() -> None:
    code = """
import atexit
net = engine()
expected = net.run(images)
atexit.register(lambda: print(np.array_equal(net.run(images), expected)))
threading.Thread(target=lambda: [net.run(images) for _ in range(10**9)], daemon=True).start()
"""
    assert _outcome(code) == (0, "True", "")


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt_ends_a_batch_after_few_images(threads: int) -> None:
    # Counted in images: the signal comes after some, and of a batch that would take minutes hardly any are done.
    code = f"""
net = engine({threads})
many = np.broadcast_to(images[:1], (200_000, *images.shape[1:])).copy()
before = time.perf_counter()
net.run(many[:2000])
per_image = (time.perf_counter() - before) / 2000
threading.Thread(target=lambda: (time.sleep(0.1), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()
before = time.perf_counter()
try:
    net.run(many)
    print("not interrupted")
except KeyboardInterrupt:
    done = (time.perf_counter() - before) / per_image
    print("in time" if done < 150_000 else done)
print(np.array_equal(net.run(images), engine(1).run(images)))
"""
    assert _outcome(code) == (0, "in time\nTrue", "")


def test_a_signal_before_the_first_look_for_signals_leaves_no_helper_behind() -> None:
    # The first look asks Python for its main thread. A signal that has come by then raises there; once, the call was
    # left like that, while a helper still worked with the network that is dropped here.
    code = """
def interrupt(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
many = np.broadcast_to(images[:1], (20_000, *images.shape[1:])).copy()
interrupted = 0
for milliseconds in [1, 3, 6, 10, 15, 19] * 5:
    net = engine(2)
    try:
        signal.setitimer(signal.ITIMER_REAL, milliseconds / 1000)
        for _ in range(1000): net.run(many)
    except KeyboardInterrupt:
        interrupted += 1
    del net
print(interrupted, np.array_equal(engine(2).run(images), engine(1).run(images)))
"""
    assert _outcome(code) == (0, "30 True", "")


def test_a_handler_that_returns_does_not_disturb_the_result() -> None:
    code = """
net = engine(2)
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(np.array_equal(net.run(images), expected)))  # a nested call
expected = engine(1).run(images)
many = np.concatenate([images] * 5000)
signal.setitimer(signal.ITIMER_REAL, 0.03, 0.03)
found = net.run(many)
signal.setitimer(signal.ITIMER_REAL, 0)
print(np.array_equal(found, np.concatenate([expected] * 5000)), len(seen) > 0, all(seen))
"""
    assert _outcome(code) == (0, "True True True", "")


def test_calls_run_at_once_with_a_workspace_each() -> None:
    # While the first call is inside a signal handler, and so in the middle of its run, calls of other threads finish.
    code = """
net = engine(1)
expected = net.run(images)
many = np.concatenate([images] * 20000)
finished, good = threading.Semaphore(0), []
def other():
    good.append(np.array_equal(net.run(images), expected))
    finished.release()
def handler(number, frame):
    for _ in range(6): threading.Thread(target=other).start()
    for _ in range(6): finished.acquire()
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    while True: net.run(many)
except KeyboardInterrupt:
    print(good == [True] * 6, net.workspaces >= 2)
"""
    assert _outcome(code) == (0, "True True", "")


@pytest.mark.parametrize("threads", [1, 3])
def test_many_callers_share_a_bounded_number_of_workspaces(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITVIT_PROCESSORS", "2")
    file = random_program(2)
    images = random_images(file, 5, 2)
    expected = Interpreter(file.program, file.tensors).run(images)
    engine = Engine(file.program, file.tensors, threads=threads)
    barrier, wrong = threading.Barrier(16), []

    def work(index: int) -> None:
        barrier.wait()
        for i in range(30):
            batch = 1 + (index + i) % 5
            if not np.array_equal(engine.run(images[:batch]), expected[:batch]):
                wrong.append((index, i))

    workers = [threading.Thread(target=work, args=(index,)) for index in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
    assert 1 <= engine.workspaces <= engine.most_workspaces == 4


@pytest.mark.parametrize("threads", [2, 3, 7, 16])
def test_more_threads_than_processors_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITVIT_PROCESSORS", "8")
    for seed in range(4):
        file = random_program(seed)
        images = random_images(file, 9, seed)
        expected = Interpreter(file.program, file.tensors).run(images)
        engine = Engine(file.program, file.tensors, threads=threads)
        assert engine.threads == threads
        for batch in (1, 2, 9):
            np.testing.assert_array_equal(engine.run(images[:batch]), expected[:batch])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize("spare_mib", [8, 48])  # less than the result needs; enough for it, but not for a workspace
def test_without_memory_a_run_is_refused_in_one_line(spare_mib: int) -> None:
    code = f"""
import resource
from bitvit.errors import BitvitError
import bitvit.program.errors, bitvit.runtime.errors  # before memory is short
rows = 1 << 17
builder = _core.ProgramBuilder()
x, y = (builder.value("f32", [rows, 64]) for _ in range(2))
builder.op("gelu", [x], [y], {{}}, {{}})
net = builder.build([x], [y])
array = np.zeros((1, rows, 64), np.float32)
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + ({spare_mib} << 20), hard))
try:
    net.run([array])
except BitvitError as error:
    print("not enough memory" in str(error), net.workspaces)
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
print(len(net.run([array])), net.workspaces)
"""
    assert _outcome(code) == (0, "True 0\n1 1", "")


def test_helpers_are_not_counted_beyond_the_processors() -> None:
    code = """
engine(64)
print(_core.threads()["helpers"], engine(64).threads)
"""
    assert _outcome(code) == (0, "3 64", "")


@pytest.mark.parametrize("is_imported_before", [True, False])
def test_a_subinterpreter_is_refused(is_imported_before: bool) -> None:
    code = f"""
import sys
if {is_imported_before}:
    import bitvit._core
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
code = '''
try:
    import bitvit._core
    print("imported", flush=True)
except ImportError as error:
    print("interpreter" in str(error), flush=True)
'''
interpreters.run_string(interpreters.create(), code)
print("end")
"""
    result = subprocess.run(
        [sys.executable, *WITHOUT_WARNINGS, "-c", code],
        capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr) == (0, "True\nend\n", "")


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python is not free-threaded")
def test_a_free_threaded_python_takes_its_lock_back() -> None:
    # The module does not declare that it does without; Python then warns, and works as usual.
    environment = {name: text for name, text in os.environ.items() if name != "PYTHON_GIL"}
    code = "import sys; import bitvit._core; print(sys._is_gil_enabled())"
    command = [sys.executable, "-W", "default", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=True, env=environment)
    assert result.stdout == "True\n"
    assert "RuntimeWarning" in result.stderr and "bitvit._core" in result.stderr
