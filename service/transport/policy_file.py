"""The file with the policy of callers: read at the start, and again whenever it has changed.

A change that cannot be used changes nothing: the policy before it stays, and the log says what is
wrong, once for each change.
"""

import asyncio
import contextlib
from pathlib import Path

import structlog

from service.domain.caller_policy import CallerPolicy, PolicyInvalid, read_policy
from service.transport.file_stamp import file_stamp

CHECK_SECONDS = 2.0
POLICY_BYTES_MAX = 1024 * 1024

_log = structlog.get_logger()


class PolicyUnusable(Exception):  # noqa: N818 - a fact about a file, not a fault of ours
    """The policy cannot be read or does not make sense; the text names every problem."""

    def __init__(self, path: Path, problems: tuple[str, ...]) -> None:
        lines = (f"The policy {path} cannot be used:", *problems)
        super().__init__("\n".join(lines))
        self.problems = problems


class PolicyFile:
    """A policy that follows its file."""

    def __init__(self, path: Path, *, demands_certificates: bool) -> None:
        """Read the policy.

        Raises:
            PolicyUnusable: naming everything that is wrong.
        """
        self._path = path
        self._demands_certificates = demands_certificates
        self._stamp = file_stamp(path)
        self.current = self._read()
        self._say_loaded()

    async def follow(self) -> None:
        """Look after the file until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            # In a thread, since a file may be on a network.
            await asyncio.to_thread(self.reload_if_changed)

    def reload_if_changed(self) -> None:
        """Take over what the file says now, if it is another file and can be used."""
        # Taken before the reading: what is written during it is another change.
        stamp = file_stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self.current = self._read()
        except PolicyUnusable as error:
            # A log that cannot be written (a closed pipe, a full disk) must not end the following.
            with contextlib.suppress(OSError, ValueError):
                _log.error("policy_kept", path=str(self._path), problems=list(error.problems))
        else:
            self._say_loaded()

    def _read(self) -> CallerPolicy:
        try:
            with self._path.open("rb") as file:
                content = file.read(POLICY_BYTES_MAX + 1)
            if len(content) > POLICY_BYTES_MAX:
                raise PolicyUnusable(self._path, (f"It has more than {POLICY_BYTES_MAX} bytes.",))
            return read_policy(content.decode(), demands_certificates=self._demands_certificates)
        except OSError as error:
            raise PolicyUnusable(self._path, (f"{error.strerror or error}.",)) from error
        except UnicodeDecodeError:
            raise PolicyUnusable(self._path, ("It is not UTF-8.",)) from None
        except PolicyInvalid as error:
            raise PolicyUnusable(self._path, error.problems) from None

    def _say_loaded(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            _log.info(
                "policy_loaded",
                path=str(self._path),
                callers=len(self.current.callers),
                tls_names=len(self.current.by_tls_name),
                tokens=len(self.current.by_token_digest),
            )
