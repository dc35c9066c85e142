# SPDX-License-Identifier: Apache-2.0
"""Envelopes to the key in a document, right ones and wrong ones, and the answers that whoever sits in the KMS's place gives."""
import base64
import hashlib
import json
import subprocess

from kms_rig import read_http

SECRET = b"the secret of the enclave\n"
ENVELOPE = "not for this enclave, not of the one accepted form, or damaged"  # one text, whatever is wrong with it
SPKI_START = bytes.fromhex("30820122300d06092a864886f70d01010105000382010f00")


def key_of(document):
    """The RSA key in a document, as DER; no need to understand the rest."""
    data = base64.b64decode(document)
    start = data.index(SPKI_START)
    return data[start:start + 294]


class Forger:
    """Makes envelopes with openssl, right ones and wrong ones."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key")
        self.openssl("req", "-x509", "-key", "ca.key", "-subj", "/CN=x", "-out", "ca.pem")

    def openssl(self, *arguments, stdin=b""):
        return subprocess.run(["openssl", *map(str, arguments)], cwd=self.directory, input=stdin, check=True,
                              capture_output=True).stdout

    def certificate(self, spki):
        """A certificate for that key, named as a KMS names its recipient."""
        name = hashlib.sha256(spki).hexdigest()
        (self.directory / f"{name}.ext").write_text(f"subjectKeyIdentifier={name}\n")
        self.openssl("pkey", "-pubin", "-inform", "DER", "-out", f"{name}.pub", stdin=spki)
        request = self.openssl("req", "-new", "-key", "ca.key", "-subj", "/CN=enclave")
        self.openssl("x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-force_pubkey", f"{name}.pub", "-extfile",
                     f"{name}.ext", "-out", f"{name}.pem", stdin=request)
        return f"{name}.pem"

    def envelope(self, spki, cipher="-aes256", padding="oaep", digest="sha256", recipients=1, secret=SECRET, more=()):
        certificate = self.certificate(spki)
        command = ["cms", "-encrypt", "-binary", "-outform", "DER", cipher, "-keyid", *more]
        for _ in range(recipients):
            command += ["-recip", certificate, "-keyopt", f"rsa_padding_mode:{padding}"]
            if padding == "oaep":
                command += ["-keyopt", f"rsa_oaep_md:{digest}", "-keyopt", f"rsa_mgf1_md:{digest}"]
        return base64.b64encode(self.openssl(*command, stdin=secret)).decode()


def never_ending(stream):
    while True:
        stream.sendall(b" " * 1000)


def attacks(forger):
    """Name, what the answer's object is for a document (or None: it never ends)."""
    other = forger.openssl("genpkey", "-algorithm", "RSA", "-outform", "DER")
    other = forger.openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", stdin=other)

    def sealed(**how):
        return lambda document: {"ciphertext_recipient": forger.envelope(key_of(document), **how)}

    yield "plaintext instead of an envelope", lambda d: {"plain_text": SECRET.decode()}
    yield "plaintext beside the envelope", lambda d: {**sealed()(d), "plain_text": SECRET.decode()}
    yield "plaintext under another name", lambda d: {**sealed()(d), "data_key": "00"}
    yield "plaintext one level down", lambda d: {**sealed()(d), "data": {"plain_text": SECRET.decode()}}
    yield "RSA with PKCS#1 v1.5", sealed(padding="pkcs1")
    yield "OAEP with SHA-1", sealed(digest="sha1")
    yield "AES-128", sealed(cipher="-aes128")
    yield "authenticated encryption", sealed(cipher="-aes-256-gcm")
    yield "two recipients", sealed(recipients=2)
    yield "an envelope for another key", lambda d: {"ciphertext_recipient": forger.envelope(other)}
    yield "300 KB in many chunks", sealed(secret=b"A" * 300000, more=["-stream"])
    yield "bytes behind the envelope", lambda d: {"ciphertext_recipient": base64.b64encode(
        base64.b64decode(forger.envelope(key_of(d))) + b"x").decode()}
    yield "an empty envelope", lambda d: {"ciphertext_recipient": ""}
    yield "no envelope", lambda d: {"key_id": "k"}
    yield "an answer that never ends", None


def message_of(what):
    """What the refusal of an attack must say, whoever refuses it."""
    if "plaintext" in what:
        return "carries plaintext"
    return {"no envelope": "has no ciphertext_recipient", "an empty envelope": "has no ciphertext_recipient",
            "300 KB in many chunks": "large", "an answer that never ends": "answer"}.get(what, ENVELOPE)


def http_answer(stream, answer):
    _, body = read_http(stream)
    document = body["recipient"]["attestation_document"]
    if not answer:
        stream.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            stream.sendall(b"3e8\r\n" + b" " * 1000 + b"\r\n")
    data = json.dumps(answer(document)).encode()
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
