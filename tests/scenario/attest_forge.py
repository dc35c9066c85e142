# SPDX-License-Identifier: Apache-2.0
"""Makes attestation documents with a throw-away PKI: right ones, and wrong ones in exactly one respect.

CBOR is written by hand because half of the cases are encodings that no library will write.
"""
import datetime
import hashlib
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.x509.oid import NameOID

NITRO, QINGTIAN, ANY = 1, 2, 3
UTC = datetime.timezone.utc
NOW = datetime.datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
P384_ORDER = int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16)


def seconds(time):
    return int(time.timestamp())


# --- CBOR ---

class Raw(bytes):
    """Already encoded."""


class Wide(int):
    """An integer in a form of `width` bytes, 0 for the shortest."""
    def __new__(cls, value, width):
        self = super().__new__(cls, value)
        self.width = width
        return self


class Pairs(list):
    """A map as (key, value) pairs, in this order and perhaps with a key twice."""
    indefinite = False


class Indefinite(list):
    """An array of indefinite length."""


def head(major, value, width=0):
    least = 0 if value < 24 else 1 if value < 1 << 8 else 2 if value < 1 << 16 else 4 if value < 1 << 32 else 8
    width = max(width, least)
    if width == 0:
        return bytes([major << 5 | value])
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[width]]) + value.to_bytes(width, "big")


def cbor(item):
    if isinstance(item, Raw):
        return bytes(item)
    if item is None:
        return b"\xf6"
    if isinstance(item, bool):
        return b"\xf5" if item else b"\xf4"
    if isinstance(item, int):
        width = getattr(item, "width", 0)
        return head(1, -1 - item, width) if item < 0 else head(0, int(item), width)
    if isinstance(item, float):
        return b"\xfb" + struct.pack(">d", item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    if isinstance(item, dict):
        item = Pairs(item.items())
    if isinstance(item, Pairs):
        body = b"".join(cbor(k) + cbor(v) for k, v in item)
        return b"\xbf" + body + b"\xff" if item.indefinite else head(5, len(item)) + body
    body = b"".join(map(cbor, item))
    return b"\x9f" + body + b"\xff" if isinstance(item, Indefinite) else head(4, len(item)) + body


# --- PKI ---

def name(text):
    """A subject; None: one without a common name."""
    common = [x509.NameAttribute(NameOID.COMMON_NAME, text)] if text is not None else []
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "throw-away"), *common])


def key_usage(**on):
    flags = dict(digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
                 key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False)
    flags.update(on)
    return x509.KeyUsage(**flags)


def p384():
    return ec.generate_private_key(ec.SECP384R1())


class Authority:
    def __init__(self, subject, key, certificate=None):
        self.subject, self.key, self.certificate = subject, key, certificate


def issue(issuer, subject, key, authority, path_length=None, begin=None, end=None, usage="default", critical=True,
          constraints=True, extensions=(), digest=None):
    """A certificate of `key` signed by `issuer`; every argument is a rule that a test may break."""
    if usage == "default":
        usage = key_usage(key_cert_sign=True, crl_sign=True) if authority else key_usage(digital_signature=True)
    builder = (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer.subject))
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before((begin or NOW - datetime.timedelta(hours=1)).replace(tzinfo=None))
               .not_valid_after((end or NOW + datetime.timedelta(hours=2)).replace(tzinfo=None)))
    if constraints:
        builder = builder.add_extension(x509.BasicConstraints(authority, path_length), critical=True)
    if usage:
        builder = builder.add_extension(usage, critical=critical)
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(issuer.key, digest or hashes.SHA384()).public_bytes(serialization.Encoding.DER)


def make_root(subject="root.throw-away-enclaves"):
    root = Authority(subject, p384())
    root.certificate = issue(root, root.subject, root.key, True, begin=NOW - datetime.timedelta(days=365),
                             end=NOW + datetime.timedelta(days=3650))
    return root


class Pki:
    """root -> region -> zone -> instance -> leaf, in the shape of both platforms."""
    def __init__(self, profile=NITRO, root=None):
        self.profile, self.root = profile, root or make_root()
        nitro = profile == NITRO
        self.region = self.authority(self.root, "0123456789abcdef.test-region-1.aws.throw-away" if nitro else
                                     "test-region-1.throw-away-enclaves", 2 if nitro else 3)
        self.zone = self.authority(self.region, "zone.throw-away", 1 if nitro else 2)
        self.instance = self.authority(self.zone, "i-0123456789abcdef0.throw-away", 0 if nitro else 1)
        self.leaf_key = p384()
        self.leaf = issue(self.instance, "leaf.throw-away", self.leaf_key, False)

    @staticmethod
    def authority(issuer, subject, path_length, **changes):
        made = Authority(subject, p384())
        made.certificate = issue(issuer, subject, made.key, True, path_length, **changes)
        return made

    def bundle(self):
        return [a.certificate for a in (self.root, self.region, self.zone, self.instance)]

    def root_pem(self):
        return x509.load_der_x509_certificate(self.root.certificate).public_bytes(serialization.Encoding.PEM)


# --- Documents ---

def sign(key, message, little_endian=False, twin=False):
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA384())))
    if twin:
        s = P384_ORDER - s
    order = "little" if little_endian else "big"
    return r.to_bytes(48, order) + s.to_bytes(48, order)


def pcr(text):
    return hashlib.sha384(text.encode()).digest()


def fields(pki, **changes):
    """The payload as Pairs; a change to ... removes a field, an unknown name is added."""
    nitro = pki.profile == NITRO
    pcrs = Pairs((Wide(i, 0 if nitro else 2), pcr(f"pcr{i}") if i in (0, 1, 2, 4, 8) else bytes(48)) for i in range(16))
    absent = None if nitro else b""
    values = {"module_id": "i-0123456789abcdef0-enc0123456789abcdef", "digest": "SHA384",
              "timestamp": Wide(seconds(NOW) * 1000, 8), "pcrs": pcrs, "certificate": pki.leaf,
              "cabundle": pki.bundle(), "public_key": absent, "user_data": absent, "nonce": absent}
    values.update(changes)
    return Pairs((k, v) for k, v in values.items() if v is not ...)


def protected(profile=NITRO, algorithm=-35):
    wide = 0 if profile == NITRO else 4
    return cbor(Pairs([(Wide(1, wide), Wide(algorithm, wide))]))


def envelope(header, payload, signature, unprotected=None, array=list, tag=b""):
    return tag + cbor(array([header, unprotected if unprotected is not None else {}, payload, signature]))


def document(pki, payload=None, key=None, header=None, little_endian=None, twin=False, **shape):
    payload = cbor(fields(pki)) if payload is None else payload if isinstance(payload, bytes) else cbor(payload)
    header = protected(pki.profile) if header is None else header
    message = cbor(["Signature1", header, b"", payload])
    if little_endian is None:
        little_endian = pki.profile == QINGTIAN
    return envelope(header, payload, sign(key or pki.leaf_key, message, little_endian, twin), **shape)


def changed(pki, **changes):
    return document(pki, fields(pki, **changes))


def rsa_spki(bits=2048):
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
