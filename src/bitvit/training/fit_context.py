"""The context of Lightning's fit: interrupts, errors as messages, random state, silenced libraries."""

from __future__ import annotations

import errno
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from bitvit.errors import BitvitError
from bitvit.training.errors import RecipeError, TrainingError, TrainingInterrupted

__all__ = ["computing_threads", "kept_random_state", "quiet_libraries", "reporting_interrupts"]


def _is_full(error: BaseException) -> bool:
    """Return whether an error came from a full disk or memory; Lightning may raise another while it cleans up."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.ENOMEM, errno.EMFILE):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


@contextmanager
def reporting_interrupts(phase: str, epochs: int, epochs_done: Callable[[], int]) -> Iterator[None]:
    """Turn Lightning's exit on Ctrl-C into an exception, and errors from worker processes into their own last line.

    Raises:
        TrainingInterrupted: the phase was interrupted.
        RecipeError: Lightning cannot train as `runtime` says.
        TrainingError: memory, shared memory or the disk is full.
    """
    is_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if is_main_thread else None
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise TrainingInterrupted(
            f"interrupted in {phase} after epoch {epochs_done()} of {epochs}; continue with --resume"
        ) from None
    except MisconfigurationException as error:
        raise RecipeError(f"runtime: {' '.join(str(error).split())}") from None
    except torch.OutOfMemoryError:
        raise TrainingError(f"the device does not have enough memory for {phase}: set a smaller batch_size") from None
    except (RuntimeError, OSError) as error:
        text = " ".join(str(error).split())
        if _is_full(error):
            raise TrainingError(
                f"no space is left in {phase}: shared memory (/dev/shm), the disk or memory is full: set "
                "runtime.workers=0, or enlarge it (docker: --shm-size) and continue with --resume"
            ) from None
        if "DataLoader worker" not in text and "shared memory" not in text and "shm" not in text:
            raise
        raise TrainingError(
            f"a data loading process died in {phase}; this happens when shared memory (/dev/shm) or memory is full: "
            f"set runtime.workers=0, or enlarge it (docker: --shm-size) and continue with --resume ({text[:200]})"
        ) from None
    except BitvitError as error:
        lines = str(error).strip().splitlines()
        if len(lines) > 1:  # PyTorch puts a worker's whole traceback into the message
            last = lines[-1].partition(": ")
            raise type(error)(last[2] if last[0].rpartition(".")[2] == type(error).__name__ else lines[-1]) from None
        raise
    finally:
        if is_main_thread and handler is not None:
            signal.signal(signal.SIGINT, handler)  # Lightning has switched it off


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore the caller's PyTorch generators on exit."""
    with torch.random.fork_rng():
        yield


@contextmanager
def computing_threads(threads: int | None) -> Iterator[None]:
    """Compute with that many threads for a while; None changes nothing."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence Lightning's and timm's remarks on things that are meant to be as they are."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning", "timm")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            warnings.filterwarnings("ignore", message=r".*treespec.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
