"""Keys and certificates for the webhook, and how a Secret holds them. ECDSA P-256, which every API server takes.

The Secret's entries: `ca.crt` all trusted authorities, newest last; `ca.key` the newest one's key; `tls.crt` and
`tls.key` what replicas serve with.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proctor.plan.certificates import Authority, Kept, Renewal, Serving, Span

CA, CA_KEY, TLS, TLS_KEY = "ca.crt", "ca.key", "tls.crt", "tls.key"
_ENTRIES: Final = (CA, CA_KEY, TLS, TLS_KEY)


@dataclass(frozen=True)
class Chest:
    """What the Secret holds, readable. Its text shows no key."""

    authorities: tuple[x509.Certificate, ...]
    authority_key: ec.EllipticCurvePrivateKey
    serving: x509.Certificate
    serving_key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        """Nothing of a key."""
        return "Chest()"

    @property
    def kept(self) -> Kept:
        """What of it the plan asks for."""
        return Kept(tuple(_authority(each) for each in self.authorities), _serving(self.serving, self.authorities))

    @property
    def bundle(self) -> bytes:
        """What the API server is to trust."""
        return b"".join(_pem(each) for each in self.authorities)

    @property
    def pair(self) -> bytes:
        """The certificate and the key to serve with."""
        return _pem(self.serving) + _pem_of_key(self.serving_key)

    def entries(self) -> dict[str, str]:
        """The Secret's data."""
        raw = {
            CA: self.bundle,
            CA_KEY: _pem_of_key(self.authority_key),
            TLS: _pem(self.serving),
            TLS_KEY: _pem_of_key(self.serving_key),
        }
        return {name: base64.b64encode(value).decode() for name, value in raw.items()}


def opened(data: Mapping[str, str] | None) -> Chest | None:
    """What the Secret holds; None if it is empty, broken, or its parts do not belong together."""
    try:
        raw = {name: base64.b64decode((data or {})[name], validate=True) for name in _ENTRIES}
        chest = Chest(
            tuple(x509.load_pem_x509_certificates(raw[CA])),
            _key(raw[CA_KEY]),
            x509.load_pem_x509_certificate(raw[TLS]),
            _key(raw[TLS_KEY]),
        )
    except (KeyError, ValueError, TypeError, binascii.Error):
        return None
    is_whole = (
        chest.authorities[-1].public_key() == chest.authority_key.public_key()
        and chest.serving.public_key() == chest.serving_key.public_key()
    )
    return chest if is_whole else None


def fingerprints(bundle: bytes) -> frozenset[str]:
    """The authorities in a bundle; none if it is no bundle."""
    try:
        return frozenset(_name(each) for each in x509.load_pem_x509_certificates(bundle))
    except ValueError:
        return frozenset()


def renewed(chest: Chest | None, renewal: Renewal, hosts: tuple[str, ...]) -> Chest:
    """What the Secret is to hold. Makes the keys that the renewal asks for."""
    trusted = tuple(each for each in chest.authorities if _name(each) in renewal.trusted) if chest else ()
    authority_key = chest.authority_key if chest else None
    if renewal.authority is not None:
        authority_key = ec.generate_private_key(ec.SECP256R1())
        trusted = (*trusted, _signed_authority(authority_key, renewal.authority))
    serving, serving_key = (chest.serving, chest.serving_key) if chest else (None, None)
    if renewal.serving is not None and authority_key is not None:
        serving_key = ec.generate_private_key(ec.SECP256R1())
        serving = _signed_serving(trusted[-1], authority_key, serving_key, renewal.serving, hosts)
    if authority_key is None or serving is None or serving_key is None:
        raise ValueError("a first renewal makes an authority and a serving certificate")
    return Chest(trusted, authority_key, serving, serving_key)


def _authority(certificate: x509.Certificate) -> Authority:
    return Authority(_name(certificate), _span(certificate))


def _serving(certificate: x509.Certificate, authorities: Iterable[x509.Certificate]) -> Serving:
    signer = next((each for each in authorities if _is_signed_by(certificate, each)), None)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = tuple(names.get_values_for_type(x509.DNSName))
    return Serving(_name(signer) if signer else "", hosts, _span(certificate))


def _is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it did not sign this
        return False
    return True


def _span(certificate: x509.Certificate) -> Span:
    return Span(certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _name(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not an ECDSA key")
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed_authority(key: ec.EllipticCurvePrivateKey, valid: Span) -> x509.Certificate:
    serial = x509.random_serial_number()
    # Each has a name of its own: with two of one name a verifier may try the wrong one and stop there.
    name = _named(f"proctor webhook authority {serial:x}"[:60])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(valid.begins)
        .not_valid_after(valid.ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _signed_serving(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    valid: Span,
    hosts: tuple[str, ...],
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_named(hosts[0][:60]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid.begins)
        .not_valid_after(valid.ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
