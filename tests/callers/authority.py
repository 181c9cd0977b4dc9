"""An authority that signs certificates for a test, good ones and bad ones."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
DAY = dt.timedelta(days=1)


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def dns(text: str) -> x509.GeneralName:
    return x509.DNSName(text)


def email(text: str) -> x509.GeneralName:
    return x509.RFC822Name(text)


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, both in PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates with a key of its own."""

    def __init__(self, name: str = "An authority") -> None:
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def certificate(self) -> bytes:
        """What those who trust it know it by."""
        builder = _builder(self._name, self._name, self._key, ends_in=DAY)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        return _pem(builder.sign(self._key, hashes.SHA256()))

    def server(self) -> Identity:
        """Sign for the server at 127.0.0.1."""
        return self._signed("server", [LOOPBACK], DAY, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(
        self,
        *names: x509.GeneralName,
        common_name: str = "client",
        ends_in: dt.timedelta = DAY,
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> Identity:
        """Sign for a client with these alternative names."""
        return self._signed(common_name, names, ends_in, purpose)

    def _signed(
        self,
        common_name: str,
        names: Sequence[x509.GeneralName],
        ends_in: dt.timedelta,
        purpose: x509.ObjectIdentifier,
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name), self._name, key, ends_in)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Identity(_pem(builder.sign(self._key, hashes.SHA256())), _key_pem(key))


def self_signed(*names: x509.GeneralName) -> Identity:
    """Return a certificate that nobody but its holder vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name("client"), _name("client"), key, DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Identity(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key))


def channel_credentials(server_ca: bytes, client: Identity | None) -> grpc.ChannelCredentials:
    """Return what a client connects with; it trusts the servers of `server_ca`."""
    if client is None:
        return grpc.ssl_channel_credentials(server_ca)
    return grpc.ssl_channel_credentials(server_ca, client.key, client.certificate)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    ends_in: dt.timedelta,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 30 * DAY)
        .not_valid_after(now + ends_in)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
