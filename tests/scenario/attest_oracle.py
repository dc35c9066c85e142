# SPDX-License-Identifier: Apache-2.0
"""A second verifier, with decoders that others wrote (cbor2, cryptography): slow, and in nothing like the library."""
import datetime
import io
import warnings

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

warnings.simplefilter("ignore")
KNOWN = {x509.BasicConstraints.oid, x509.KeyUsage.oid}


class Invalid(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Invalid(why)


def decode(data, what):
    stream = io.BytesIO(data)
    try:
        item = cbor2.CBORDecoder(stream).decode()
    # SystemError: cbor2's C part fails on some malformed input and forgets to say how. Valid for us alone it would be
    # reported all the same.
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError, MemoryError, KeyError, SystemError) as e:
        raise Invalid(f"{what}: {e}") from None
    need(stream.tell() == len(data), f"{what}: trailing bytes")
    return item


def is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def check_fields(payload, qingtian):
    need(isinstance(payload, dict), "payload")
    limit = 4096 if qingtian else 1024
    need(isinstance(payload.get("module_id"), str) and payload["module_id"], "module_id")
    need(payload.get("digest") == "SHA384", "digest")
    need(is_int(payload.get("timestamp")) and payload["timestamp"] > 0, "timestamp")
    pcrs = payload.get("pcrs")
    need(isinstance(pcrs, dict) and pcrs, "pcrs")
    for index, value in pcrs.items():
        need(is_int(index) and 0 <= index < 32, "PCR index")
        need(isinstance(value, bytes) and len(value) in ((48,) if qingtian else (32, 48, 64)), "PCR")
    bundle = payload.get("cabundle")
    need(isinstance(bundle, list) and 1 <= len(bundle) <= 8, "cabundle")
    for der in [*bundle, payload.get("certificate")]:
        need(isinstance(der, bytes) and 1 <= len(der) <= limit, "certificate size")
    need(not ("public_key" in payload and "pubkey" in payload), "two keys")
    for name in ("public_key", "pubkey", "user_data", "nonce"):
        value = payload.get(name)
        need(value is None or isinstance(value, bytes) and len(value) <= limit, name)


def load(der):
    try:
        c = x509.load_der_x509_certificate(der)
        need(c.version == x509.Version.v3, "version")
        need(c.signature_hash_algorithm.name == "sha384" and c.signature_algorithm_oid.dotted_string ==
             "1.2.840.10045.4.3.3", "signature algorithm")
        need(isinstance(c.public_key(), ec.EllipticCurvePublicKey) and c.public_key().curve.name == "secp384r1", "key")
        for extension in c.extensions:
            need(not extension.critical or extension.oid in KNOWN, "critical extension")
        return c
    except Invalid:
        raise
    except Exception as e:
        raise Invalid(f"certificate: {e}") from None


def extension(certificate, kind):
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def verify_signature(key, signature, data, why):
    try:
        key.verify(signature, data, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        raise Invalid(why) from None


def check_chain(certificates, time):
    last = len(certificates) - 1
    for i, c in enumerate(certificates):
        need(c.not_valid_before <= time <= c.not_valid_after, "validity")
        constraints, usage = extension(c, x509.BasicConstraints), extension(c, x509.KeyUsage)
        if i == last:
            need(not constraints or not constraints.ca, "leaf is a CA")
            need(usage and usage.digital_signature, "leaf usage")
            continue
        need(constraints and constraints.ca, "not a CA")
        need(usage and usage.key_cert_sign, "CA usage")
        need(constraints.path_length is None or constraints.path_length >= last - 1 - i, "path length")
        child = certificates[i + 1]
        need(child.issuer == c.subject, "issuer")
        verify_signature(c.public_key(), child.signature, child.tbs_certificate_bytes, "chain signature")


def halves(signature, order):
    return utils.encode_dss_signature(int.from_bytes(signature[:48], order), int.from_bytes(signature[48:], order))


def verify(document, root, qingtian, time=None):
    """Raises Invalid. time: seconds, or None for the document's own."""
    item = decode(document, "document")
    if isinstance(item, cbor2.CBORTag):
        need(item.tag == 18, "tag")
        item = item.value
    need(isinstance(item, list) and len(item) == 4, "COSE_Sign1")
    header, unprotected, body, signature = item
    need(isinstance(header, bytes) and decode(header, "header") == {1: -35}, "protected header")
    need(unprotected == {} and isinstance(unprotected, dict), "unprotected header")
    need(isinstance(body, bytes) and isinstance(signature, bytes) and len(signature) == 96, "payload or signature")
    payload = decode(body, "payload")
    check_fields(payload, qingtian)
    need(payload["cabundle"][0] == root, "root")
    certificates = [load(der) for der in [*payload["cabundle"], payload["certificate"]]]
    try:
        at = datetime.datetime.utcfromtimestamp(payload["timestamp"] / 1000 if time is None else time)
    except (OverflowError, ValueError, OSError):
        raise Invalid("timestamp") from None
    try:
        check_chain(certificates, at)
    except (ValueError, KeyError, TypeError) as e:  # cryptography parses names and extensions when they are asked for
        raise Invalid(f"certificate: {e}") from None
    signed = b"\x84\x6aSignature1" + cbor2.dumps(header) + b"\x40" + cbor2.dumps(body)
    orders = ("little", "big") if qingtian else ("big",)
    for order in orders:
        try:
            return verify_signature(certificates[-1].public_key(), halves(signature, order), signed, "signature")
        except Invalid:
            if order == orders[-1]:
                raise
    return None
