"""What can go wrong between a user and the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bitvit.errors import BitvitError

__all__ = ["HubError", "explained"]


class HubError(BitvitError):
    """The hub has no such file, refuses access, or cannot be reached."""


@contextmanager
def explained(address: object) -> Iterator[None]:
    """Turn the errors of ``huggingface_hub`` into one line that says what to do.

    Args:
        address: what was asked for, named in the message.

    Raises:
        HubError: anything went wrong at the hub or on the way to it, or the package is not installed.
    """
    try:
        from huggingface_hub import errors
    except ImportError:
        raise HubError(f"{address}: the hub needs the package huggingface_hub (pip install 'bitvit[hub]')") from None
    try:
        yield
    except errors.GatedRepoError:
        raise HubError(f"{address}: access is restricted; ask for it on the repository's page, then log in") from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"{address}: no such repository, or it is private (log in with `hf auth login`, or set HF_TOKEN)"
        ) from None
    except errors.RevisionNotFoundError:
        raise HubError(f"{address}: the repository has no such branch, tag or commit") from None
    except errors.OfflineModeIsEnabled:
        raise HubError(f"{address}: HF_HUB_OFFLINE is set") from None
    except errors.LocalEntryNotFoundError:
        raise HubError(
            f"{address}: not in the cache, and the hub cannot be reached (no connection, or HF_HUB_OFFLINE is set)"
        ) from None
    except errors.EntryNotFoundError:
        raise HubError(f"{address}: the repository has no such file") from None
    except errors.HFValidationError as error:
        raise HubError(f"{address}: not a valid repository name ({_first_line(error)})") from None
    except errors.HfHubHTTPError as error:
        status = int(getattr(error.response, "status_code", 0) or 0)
        advice = {401: "log in with `hf auth login`, or set HF_TOKEN", 403: "this account may not do that"}.get(status)
        raise HubError(f"{address}: {advice or f'the hub answered: {_first_line(error)}'}") from None
    except (OSError, ValueError) as error:
        raise HubError(f"{address}: {_first_line(error)}") from None
    except Exception as error:  # its HTTP library has changed between versions
        if type(error).__module__.partition(".")[0] not in (
            "httpx",
            "httpx2",
            "httpcore",
            "requests",
            "huggingface_hub",
        ):
            raise
        raise HubError(f"{address}: the hub cannot be reached ({_first_line(error)})") from None


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
