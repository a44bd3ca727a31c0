"""Who may take part: certificates of one authority, and the TLS settings made of them.

Every connection is encrypted (TLS 1.3) and both sides must show a certificate of the same authority (RFC 5280, RFC
8446). The authority's key is thrown away once the certificates are made: nobody can make another that is trusted.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from rackwright.core.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from distributed import Security

Role: TypeAlias = Literal["scheduler", "worker", "client"]
ROLES: tuple[Role, ...] = ("scheduler", "worker", "client")
AUTHORITY = "ca.pem"
VALID_DAYS = 3650
"""How long certificates hold unless told otherwise."""
_BACKDATED = datetime.timedelta(hours=1)
"""The clocks of the machines may differ by this much."""


def files_of(role: Role) -> tuple[str, str, str]:
    """Name the files that a role needs: the authority's certificate, its own, its key."""
    return AUTHORITY, f"{role}.pem", f"{role}.key"


def make_certificates(folder: Path, hosts: Sequence[str], days: int = VALID_DAYS) -> list[Path]:
    """Write an authority's certificate, and a certificate and key for each role, into a folder; ``hosts`` are the names
    and addresses that they hold. All files are for their owner alone. Raises Conflict when one of them is there."""
    names = [AUTHORITY, *(name for role in ROLES for name in files_of(role)[1:])]
    there = [name for name in names if (folder / name).exists()]
    if there:
        raise Conflict(
            f"there are certificates already: {', '.join(there)}", where=str(folder), mend="use another folder"
        )
    contents = _contents(hosts, days)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in names:
        _write(folder / name, contents[name])
    return [folder / name for name in names]


def security(folder: Path, role: Role) -> Security:
    """Give the TLS settings of a role. Raises InvalidInput when its certificates are not there or do not fit."""
    from distributed import Security

    paths = [folder / name for name in files_of(role)]
    authority, certificate, key = (str(path) for path in paths)
    try:
        probe = ssl.create_default_context(cafile=authority)
        probe.load_cert_chain(certificate, key)
    except OSError as error:
        wrong = ", ".join(path.name for path in paths if not path.exists())
        raise InvalidInput(
            f"the certificates of the {role} cannot be used: {f'no {wrong}' if wrong else error}",
            where=str(folder),
            mend="make them by `rackwright dask certs --out FOLDER`, and name that folder",
        ) from None
    return Security(
        require_encryption=True,
        tls_ca_file=authority,
        tls_min_version=ssl.TLSVersion.TLSv1_3,
        **{f"tls_{role}_cert": certificate, f"tls_{role}_key": key},
    )


def check_address(address: str) -> None:
    """Refuse a scheduler's address without TLS, or that is none. Raises InvalidInput."""
    host, _, port = address.removeprefix("tls://").rpartition(":")
    if not address.startswith("tls://") or not host or not port.isdigit():
        raise InvalidInput(
            "this is not the address of a scheduler with TLS",
            where=address or "scheduler",
            mend="write tls://HOST:PORT",
        )


def _contents(hosts: Sequence[str], days: int) -> dict[str, bytes]:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key, days)
    contents = {AUTHORITY: authority.public_bytes(Encoding.PEM)}
    for role in ROLES:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(role, key, hosts, days, authority, authority_key)
        _, of_certificate, of_key = files_of(role)
        contents[of_certificate] = certificate.public_bytes(Encoding.PEM)
        contents[of_key] = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return contents


def _authority(key: EllipticCurvePrivateKey, days: int) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    name = _name("authority")
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        _dated(days)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _certificate(
    role: Role,
    key: EllipticCurvePrivateKey,
    hosts: Iterable[str],
    days: int,
    authority: x509.Certificate,
    authority_key: EllipticCurvePrivateKey,
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    # A client never listens; a scheduler and a worker do both.
    listens = [ExtendedKeyUsageOID.SERVER_AUTH] if role != "client" else []
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _dated(days)
        .subject_name(_name(role))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([*listens, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _dated(days: int) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _name(common: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"rackwright {common}")])


def _host(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
