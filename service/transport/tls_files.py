"""The server's certificate, its key, and who signs its clients': files that may change any time.

gRPC asks before each handshake, on a thread of its own, whether there is something new. So a
renewed certificate needs no restart. Connections that stand keep what they began with.
"""

import contextlib
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc
import structlog

from service.transport.file_stamp import FileStamp, file_stamp

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger()


class TlsFilesUnusable(Exception):  # noqa: N818 - a fact about files, not a fault of ours
    """A certificate or key cannot be read, or does not fit the other; the text is for a person."""


class TlsFiles:
    """A certificate chain, its key and the clients' authorities, in PEM; followed by their times.

    With `client_ca` every client has to present a certificate of such an authority.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        """Read the files.

        Raises:
            TlsFilesUnusable: they cannot be used.
        """
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._loading = threading.Lock()
        self._stamps = self._stamps_now()
        self._first = self._load()

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that follow the files."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            # The stubs do not know that None stands for "as before".
            cast("Callable[[], grpc.ServerCertificateConfiguration]", self._fetch),
            require_client_authentication=self._client_ca is not None,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what is new, or None to go on as before; it is called on threads of gRPC's."""
        if not self._loading.acquire(blocking=False):
            return None  # Another handshake is at it; none waits.
        try:
            return self._load_if_changed()
        finally:
            self._loading.release()

    def _load_if_changed(self) -> grpc.ServerCertificateConfiguration | None:
        # Taken before the reading: what is written during it is another change.
        stamps = self._stamps_now()
        if stamps == self._stamps:
            return None
        self._stamps = stamps
        try:
            configuration = self._load()
        except TlsFilesUnusable as error:
            _say("error", "certificates_kept", problem=str(error))
            return None
        _say("info", "certificates_loaded", path=str(self._certificate))
        return configuration

    def _load(self) -> grpc.ServerCertificateConfiguration:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chain, key = _read(self._certificate), _read(self._key)
        try:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(self._certificate, self._key, password="")
        except (OSError, ValueError) as error:
            raise TlsFilesUnusable(
                f"{self._certificate} and {self._key} must be a certificate chain and its key "
                f"without a password, in PEM: {_why(error)}."
            ) from error
        if self._client_ca is None:
            return grpc.ssl_server_certificate_configuration([(key, chain)])
        client_ca = _read(self._client_ca)
        try:
            context.load_verify_locations(cadata=client_ca.decode("ascii"))
        except (OSError, ValueError) as error:
            raise TlsFilesUnusable(
                f"{self._client_ca} must have the certificates of the clients' authorities, in "
                f"PEM: {_why(error)}."
            ) from error
        return grpc.ssl_server_certificate_configuration([(key, chain)], client_ca)

    def _stamps_now(self) -> tuple[FileStamp, ...]:
        paths = (self._certificate, self._key, self._client_ca)
        return tuple(file_stamp(path) for path in paths if path is not None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsFilesUnusable(f"{path} cannot be read: {error.strerror or error}.") from error


def _why(error: OSError | ValueError) -> str:
    """Return a library's reason in a few words."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return "it is no such text"


def _say(level: str, event: str, **fields: str) -> None:
    # A log that cannot be written (a closed pipe, a full disk) must not end a handshake.
    with contextlib.suppress(OSError, ValueError):
        getattr(_log, level)(event, **fields)
