# SPDX-License-Identifier: Apache-2.0
"""The attest verbs: exit statuses, both verdicts as JSON, every reason of the policy, CRLs, bindings."""
import base64
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import eif_damage

try:
    import attest_forge as forge
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
except ImportError as missing:
    print(f"1..0 # SKIP {missing}: install python3-cryptography")
    sys.exit(0)

BUILD = pathlib.Path(os.environ["QT_BUILD_ROOT"])
SOURCE = pathlib.Path(os.environ["QT_SOURCE_ROOT"])
VECTORS = pathlib.Path(os.environ.get("QT_VECTORS", SOURCE / "../shared/vectors"))
PROGRAM = BUILD / "cli/qt-enclave"
NOW = forge.seconds(forge.NOW)
n = 0
reached = set()


def point(ok, what, *lines):
    global n
    n += 1
    print(f"{'ok' if ok else 'not ok'} {n} - {what}")
    if not ok:
        for line in lines:
            print("#", str(line).replace("\n", "\n# "))


def run(*words, **more):
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=60, **more)


class Bench:
    """A PKI, its document and a policy that accepts it, as files."""
    def __init__(self, directory):
        self.directory = directory
        self.pki = forge.Pki(forge.NITRO)
        self.root = self.put("root.pem", self.pki.root_pem())
        self.document = self.put("plain.bin", forge.document(self.pki))
        self.policy = self.put("policy.json", json.dumps(self.policy_object()))

    def put(self, name, data):
        path = self.directory / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    @staticmethod
    def policy_object(**changes):
        made = {"Version": 1, "PcrSets": [{"Name": "release A", "PCR0": forge.pcr("another").hex()},
                                          {"Name": "release B", "PCR0": forge.pcr("pcr0").hex(),
                                           "PCR1": forge.pcr("pcr1").hex(), "PCR2": forge.pcr("pcr2").hex()}]}
        made.update(changes)
        return {k: v for k, v in made.items() if v is not None}

    def verify(self, what, expected, *options, document=None, policy=None, time=NOW, crypto="ok"):
        """One verification; expected is the policy's reason."""
        policy = self.policy if policy is None else self.put("changed.json", json.dumps(policy))
        file = self.document if document is None else self.put("changed.bin", document)
        done = run("attest", "verify", file, "--policy", policy, "--root", self.root, "--time", time, "-o", "json",
                   *options)
        try:
            found = json.loads(done.stdout)
            verdicts = (found["crypto"]["reason"], found["policy"]["reason"], done.returncode)
            consistent = (found["crypto"]["verdict"] == ("valid" if verdicts[0] == "ok" else "invalid") and
                          found["policy"]["verdict"] == ("accepted" if verdicts[1] == "ok" else "refused"))
        except (ValueError, KeyError):
            found, verdicts, consistent = {}, None, False
        wanted = (crypto, expected, 0 if (crypto, expected) == ("ok", "ok") else 1)
        reached.add(expected)
        point(verdicts == wanted and consistent, f"{what}: {crypto}, {expected}", verdicts, done.stdout, done.stderr)
        return found


def policies(b):
    claims = b.verify("a policy with two releases", "ok")["claims"]
    point(claims["pcr_set"] == "release B" and claims["region"] == "test-region-1" and claims["profile"] == "nitro"
          and claims["pcrs"]["0"] == forge.pcr("pcr0").hex(), "the claims say what was matched", claims)
    b.verify("an invalid document", "crypto-invalid", document=b.document.read_bytes()[:-1], crypto="cbor-truncated")
    b.verify("a policy without measurements", "policy-empty", policy={})
    b.verify("an empty list of sets", "policy-empty", policy={"Version": 1, "PcrSets": []})
    b.verify("a set that names no image", "policy-empty", policy={"PcrSets": [{"PCR4": "00" * 48}]})
    for pcr in (1, 2, 8):
        zeros = {"PcrSets": [{f"PCR{pcr}": "00" * 48}]}
        same = forge.changed(b.pki, pcrs={0: forge.pcr("anything"), pcr: bytes(48)})
        b.verify(f"a set that only wants PCR{pcr} to be zero", "policy-empty", policy=zeros, document=same)
        named = {"PcrSets": [{f"PCR{pcr}": forge.pcr(f"pcr{pcr}").hex()}]}
        b.verify(f"a set that names an image by PCR{pcr}", "ok", policy=named)
    b.verify("any measurement, by an honest option", "ok", "--insecure-accept-any-measurement", policy={})
    b.verify("an expired policy", "policy-expired", policy=b.policy_object(Expires="2026-06-01T11:59:59Z"))
    b.verify("a policy that expires now", "ok", policy=b.policy_object(Expires="2026-06-01T12:00:00Z"))
    b.verify("a policy for the other platform", "profile-mismatch", policy=b.policy_object(Profile="qingtian"))
    b.verify("a policy for this platform", "ok", policy=b.policy_object(Profile="nitro"))
    b.verify("sets for the other platform only", "policy-empty",
             policy={"PcrSets": [{"Profile": "qingtian", "PCR0": forge.pcr("pcr0").hex()}]})
    b.verify("another image", "pcr-mismatch", policy={"PcrSets": [{"PCR0": forge.pcr("x").hex()}]})
    b.verify("half of a set", "pcr-mismatch",
             policy={"PcrSets": [{"PCR0": forge.pcr("pcr0").hex(), "PCR1": forge.pcr("x").hex()}]})
    b.verify("a PCR that is not there", "pcr-missing",
             policy={"PcrSets": [{"PCR0": forge.pcr("pcr0").hex(), "PCR16": "00" * 48}]})
    b.verify("a PCR of another length", "pcr-mismatch", policy={"PcrSets": [{"PCR0": forge.pcr("pcr0").hex()[:64]}]})
    b.verify("the module id", "ok", policy=b.policy_object(ModuleIds=["other", "i-0123456789abcdef0-enc0123456789abcdef"]))
    b.verify("another module id", "module-id-mismatch", policy=b.policy_object(ModuleIds=["other"]))
    b.verify("the region", "ok", policy=b.policy_object(Regions=["test-region-1"]))
    b.verify("another region", "region-mismatch", policy=b.policy_object(Regions=["test-region-2"]))


def derived(b):
    def extended(text):
        return hashlib.sha384(bytes(48) + text.encode()).digest()
    pcrs = {0: forge.pcr("pcr0"), 3: extended("arn:aws:iam::1:role/r"), 4: extended("i-0123456789abcdef0")}
    doc = forge.changed(b.pki, pcrs=pcrs)
    image = forge.pcr("pcr0").hex()
    for role, instance, expected in (("arn:aws:iam::1:role/r", "i-0123456789abcdef0", "ok"),
                                     ("arn:aws:iam::1:role/x", "i-0123456789abcdef0", "pcr-mismatch"),
                                     ("arn:aws:iam::1:role/r", "i-x", "pcr-mismatch")):
        b.verify(f"role {role}, instance {instance}", expected, document=doc,
                 policy={"PcrSets": [{"PCR0": image, "Role": role, "Instance": instance}]})


def debug(b):
    pcrs = {i: bytes(48) for i in range(16)}
    pcrs[4] = forge.pcr("pcr4")
    doc = forge.changed(b.pki, pcrs=pcrs)
    b.verify("debug mode", "debug-document", document=doc)
    b.verify("debug mode and a policy of zeros", "policy-empty", document=doc, policy={"PcrSets": [{"PCR0": "00" * 48}]})
    b.verify("debug mode, by an honest option", "ok", "--insecure-allow-debug", document=doc)
    del pcrs[0]
    b.verify("no PCR0", "debug-document", document=forge.changed(b.pki, pcrs=pcrs))
    emulated = forge.envelope(forge.cbor({1: -1}), forge.cbor(forge.fields(b.pki, certificate=bytes(64),
                                                                          cabundle=[bytes(64)])), bytes(64))
    b.verify("an unsigned emulator", "crypto-invalid", document=emulated, crypto="emulator-document")
    b.verify("an unsigned emulator, by an honest option", "ok", "--insecure-accept-unsigned-emulator", document=emulated)
    b.verify("and never as QingTian's", "crypto-invalid", "--insecure-accept-unsigned-emulator", "--profile", "qingtian",
             document=emulated, crypto="emulator-document")


def issued_now(b, present, begin):
    """A document of this moment, whose leaf is valid from so many seconds after it."""
    fresh = forge.Pki(forge.NITRO, b.pki.root)
    fresh.instance = forge.Pki.authority(b.pki.root, "fresh", None, begin=present - datetime.timedelta(minutes=1),
                                         end=present + datetime.timedelta(hours=1))
    fresh.leaf = forge.issue(fresh.instance, "leaf", fresh.leaf_key, False, begin=present + datetime.timedelta(seconds=begin),
                             end=present + datetime.timedelta(hours=1))
    return forge.changed(fresh, timestamp=forge.seconds(present) * 1000, cabundle=[b.pki.root.certificate, fresh.instance.certificate])


def times(b):
    b.verify("five minutes old", "ok", time=NOW + 300)
    b.verify("a second more", "too-old", time=NOW + 301)
    b.verify("an hour old", "too-old", time=NOW + 3600)
    b.verify("an hour old, allowed by the command", "ok", "--max-age", "1h", time=NOW + 3600)
    b.verify("an hour old, allowed by the policy", "ok", policy=b.policy_object(MaxAge="1h"), time=NOW + 3600)
    b.verify("two minutes ahead", "ok", time=NOW - 120)
    b.verify("a second more", "from-future", time=NOW - 121)
    b.verify("without leeway", "from-future", "--leeway", "0", time=NOW - 1)
    b.verify("at its own time", "ok", time="document")
    today = datetime.datetime.now(forge.UTC)
    for days, reason in ((-1, "policy-expired"), (1, "ok")):
        expires = (today + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        b.verify(f"at its own time, by a policy that expires in {days} days", reason, time="document",
                 document=forge.changed(b.pki, timestamp=NOW * 1000 - 60_000), policy=b.policy_object(Expires=expires, MaxAge="1s"))
    b.verify("years later", "crypto-invalid", time=NOW + 10 ** 9, crypto="expired")
    text = b.put("base64.bin", base64.encodebytes(b.document.read_bytes()))
    for file, time, hint in ((b.document, NOW + 10 ** 9, "--time document"), (text, NOW, "base64 -d"), (b.document, NOW, None)):
        done = run("attest", "verify", file, "--policy", b.policy, "--root", b.root, "--time", time)
        point(("\nhint: " in done.stdout) == (hint is not None) and (hint or "") in done.stdout, f"a hint for a person: {hint}", done.stdout, done.stderr)
    present = datetime.datetime.now(forge.UTC)
    for label, begin, crypto, policy in (("valid now", -60, "ok", "ok"), ("valid in a minute", 60, "ok", "ok"),
                                         ("valid in an hour", 1800, "not-yet-valid", "crypto-invalid")):
        b.verify(label, policy, document=issued_now(b, present, begin), time="now", crypto=crypto)


def bindings(b):
    rsa = forge.rsa_spki()
    doc = forge.changed(b.pki, nonce=b"nonce", user_data=hashlib.sha256(b"data").digest(), public_key=rsa)
    key = b.put("key.der", rsa)
    data = b.put("data", b"data")
    b.verify("everything bound", "ok", "--nonce", b"nonce".hex(), "--user-data", f"sha256:@{data}", "--public-key",
             f"@{key}", document=doc)
    b.verify("another nonce", "nonce-mismatch", "--nonce", b"nonces".hex(), document=doc)
    b.verify("no nonce in it", "nonce-mismatch", "--nonce", "00")
    b.verify("other data", "user-data-mismatch", "--user-data", f"@{data}", document=doc)
    b.verify("another key", "public-key-mismatch", "--public-key", "00", document=doc)
    b.verify("any RSA key", "ok", "--public-key", "rsa", document=doc)
    for label, spki in (("RSA 1024", forge.rsa_spki(1024)), ("no key", b"x"), ("a byte more", rsa + b"\0"),
                        ("P-384", forge.p384().public_key().public_bytes(
                            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))):
        b.verify(f"{label} is no RSA key", "public-key-mismatch", "--public-key", "rsa",
                 document=forge.changed(b.pki, public_key=spki))
    b.verify("RSA demanded by the policy", "ok", policy=b.policy_object(PublicKey="rsa"), document=doc)
    b.verify("RSA demanded by the policy, none there", "public-key-mismatch", policy=b.policy_object(PublicKey="rsa"))
    b.verify("a nonce demanded by the policy", "binding-missing", policy=b.policy_object(Nonce="required"), document=doc)
    b.verify("and given", "ok", "--nonce", b"nonce".hex(), policy=b.policy_object(Nonce="required"), document=doc)
    nothing = b.put("nothing", b"")
    empty = forge.changed(b.pki, nonce=b"", user_data=b"", public_key=b"")
    for option in ("--nonce", "--user-data", "--public-key"):
        for value in ("", f"@{nothing}", "sha256:"):
            done = run("attest", "verify", b.put("changed.bin", empty), "--policy", b.policy, "--root", b.root, "--time", NOW,
                       option, value)
            point(done.returncode == 2 and "is empty" in done.stderr and option in done.stderr,
                  f"{option} with an empty value is refused", value, done.stdout, done.stderr)
    b.verify("the SHA-256 of an empty file is a value", "ok", "--user-data", f"sha256:@{nothing}",
             document=forge.changed(b.pki, user_data=hashlib.sha256().digest()))


def crl(issuer, *serials, last_update=-3600, next_update=600, now=forge.NOW, critical=None):
    """Times in seconds after now."""
    present = now.replace(tzinfo=None)
    builder = (x509.CertificateRevocationListBuilder().issuer_name(forge.name(issuer.subject))
               .last_update(present + datetime.timedelta(seconds=last_update))
               .next_update(present + datetime.timedelta(seconds=next_update)))
    if critical:
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    for serial in serials:
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(serial)
                                                  .revocation_date(present).build())
    return builder.sign(issuer.key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM)


def revocation(b):
    serial = x509.load_der_x509_certificate(b.pki.zone.certificate).serial_number
    for label, data, crypto in (
            ("a CRL that lists another", crl(b.pki.region, serial ^ 1), "ok"),
            ("an empty CRL", crl(b.pki.region), "ok"),
            ("a CRL that lists an authority", crl(b.pki.region, serial ^ 1, serial), "revoked"),
            ("a CRL of nobody in the chain", crl(forge.make_root("somebody"), serial), "ok"),
            ("a CRL that expired", crl(b.pki.region, next_update=-300), "crl-unusable"),
            ("a CRL of an impostor", crl(forge.Authority(b.pki.region.subject, forge.p384())), "crl-unusable")):
        b.verify(label, "ok" if crypto == "ok" else "crypto-invalid", "--crl", b.put("crl.pem", data), crypto=crypto)
    hour = 3600
    namesake = forge.Authority(b.pki.region.subject, forge.p384())
    old, fresh, late = (crl(b.pki.region, **times) for times in ({"last_update": -2 * hour, "next_update": -hour}, {},
                                                                 {"last_update": 2 * hour, "next_update": 3 * hour}))
    for label, lists, time, crypto in (
            ("an older list and the current one", (old, fresh), NOW, "ok"),
            ("the current list and an older one", (fresh, old), NOW, "ok"),
            ("two older lists", (old, old), NOW, "crl-unusable"),
            ("the current list of a namesake alone", (crl(namesake),), NOW, "crl-unusable"),
            ("and with the issuer's own", (crl(namesake), fresh), NOW, "ok"),
            ("a namesake's that lists the serial number", (crl(namesake, serial), fresh), NOW, "ok"),
            ("and an older list of the issuer's own", (crl(namesake), old), NOW, "crl-unusable"),
            ("revoked by the older list alone", (crl(b.pki.region, serial, last_update=-2 * hour, next_update=-hour), fresh), NOW, "revoked"),
            ("a list of later, at a given time", (late,), NOW, "crl-unusable"),
            ("a list of later, at the document's time", (late,), "document", "ok"),
            ("revoked by a list of later", (crl(b.pki.region, serial, last_update=2 * hour, next_update=3 * hour),), "document", "revoked"),
            ("a list that expired before the document", (old,), "document", "crl-unusable")):
        words = [w for i, data in enumerate(lists) for w in ("--crl", b.put(f"list-{i}.pem", data))]
        b.verify(label, "ok" if crypto == "ok" else "crypto-invalid", *words, time=time, crypto=crypto)
    present = datetime.datetime.now(forge.UTC)
    doc = issued_now(b, present, -60)
    for label, seconds, words, crypto in (("a list of a minute ahead", 60, (), "ok"), ("of half an hour ahead", 1800, (), "crl-unusable"),
                                          ("of a minute ahead, without leeway", 60, ("--leeway", "0"), "crl-unusable")):
        b.verify(label, "ok" if crypto == "ok" else "crypto-invalid", *words, "--crl",
                 b.put("crl.pem", crl(b.pki.root, now=present, last_update=seconds, next_update=2 * hour)), document=doc, time="now",
                 crypto=crypto)
    delta = run("attest", "verify", b.document, "--policy", b.policy, "--root", b.root, "--crl",
                b.put("delta.pem", crl(b.pki.region, critical=True)))
    point(delta.returncode == 4, "a delta CRL is refused as such", delta.stderr)


def signed_policy(b):
    key = forge.p384()
    pem = b.put("policy.pub", key.public_key().public_bytes(serialization.Encoding.PEM,
                                                            serialization.PublicFormat.SubjectPublicKeyInfo))
    signature = b.put("policy.sig", key.sign(b.policy.read_bytes(), ec.ECDSA(hashes.SHA384())))
    signed = ("--policy-key", pem, "--policy-signature", signature)
    b.verify("a signed policy", "ok", *signed)
    for label, words, status in (("changed after signing", ["--policy", b.put("spaced.json", b.policy.read_bytes() + b" ")], 1),
                                 ("no DER", ["--policy", b.policy, "--policy-signature", b.document], 4)):
        done = run("attest", "verify", b.document, "--root", b.root, "--time", NOW, *signed, *words)
        point(done.returncode == status and not done.stdout, f"a policy's signature, {label}: {status}", done.stderr)


def usage(b):
    for words, status in ((["attest", "verify", b.document], 2), (["attest", "verify"], 2),
                          (["attest", "verify", b.document, "--policy", b.policy, "--profile", "sgx"], 2),
                          (["attest", "verify", b.document, "--policy", b.policy, "--time", "noon"], 2),
                          (["attest", "verify", b.document, "--policy", b.policy, "--time", "document", "--max-age", "1h"], 2),
                          (["attest", "verify", b.document, "--policy", b.policy, "--nonce", "xyz"], 2),
                          (["attest", "verify", b.document, "--policy", b.document], 2),
                          (["attest", "verify", b.document, "--policy", b.policy, "--root", b.document], 4),
                          (["attest", "verify", b.directory / "none", "--policy", b.policy], 3),
                          (["attest", "verify", b.document, "--policy", b.directory / "none"], 3)):
        done = run(*words)
        point(done.returncode == status and done.stderr.count("\n") == 1 and not done.stdout,
              f"exit status {status}: {' '.join(str(w).rsplit('/')[-1] for w in words)}", done.returncode, done.stderr)
    for text in ('{"Version": 2}', '[]', '{"PcrSets": [{"PCR0": "00"}]}', '{"Unknown": 1}', '{"Version": 1, "Version": 1}',
                 '{"PcrSets": [{"PCR32": "%s"}]}' % ("00" * 48), '{"PcrSets": [{"PCR07": "%s"}]}' % ("00" * 48),
                 '{"PcrSets": [{"PCR3": "%s", "Role": "r"}]}' % ("00" * 48), '{"Expires": "tomorrow"}', '{"MaxAge": 5}',
                 '{"Nonce": "optional"}', '{"Regions": []}', '{"PcrSets": [{"Pcr0": "%s"}]}' % ("00" * 48), '{} {}'):
        done = run("attest", "verify", b.document, "--policy", b.put("wrong.json", text))
        point(done.returncode == 2 and "wrong.json" in done.stderr, f"policy {text[:40]} is refused", done.stderr)
    done = run("attest", "verify", "-", "--policy", b.policy, "--root", b.root, "--time", "document")
    point(done.returncode == 1 and "empty" in done.stdout, "an empty standard input is an invalid document", done.stdout)
    done = run("attest", "verify", b.document, "--policy", b.policy, "--root", f"qingtian:{b.root}", "--time", "document",
               "--profile", "nitro")
    point(done.returncode == 1 and "root-not-pinned" in done.stdout, "a root counts for its profile only", done.stdout)


def show(b):
    for data, form in ((b.document.read_bytes(), "ok"), (b.document.read_bytes()[:-1], "cbor-truncated"), (b"no document\n", "cbor-truncated"),
                       (forge.document(b.pki, key=forge.p384()), "ok")):
        file = b.put("show.bin", data)
        text, found = run("attest", "show", file), json.loads(run("attest", "show", file, "-o", "json").stdout)
        point(text.returncode == (form != "ok") and text.stdout.startswith("UNVERIFIED"), "show says UNVERIFIED", text.stdout)
        point(("debug mode" in text.stdout) == (form == "ok") and (found["unverified_claims"] is None) == (form != "ok"),
              "and what breaks a rule of form claims nothing", text.stdout, found)
        point(found["verified"] is False and found["form"] == form, f"show: {form}", found)
        point(form != "ok" or [c["common_name"] for c in found["unverified_certificates"]][-1] == "leaf.throw-away",
              "show lists the chain", found["unverified_certificates"])


def show_is_plain(b):
    for text in ("\x1b[2J", "\u009b2J"):
        shown = run("attest", "show", b.put("show.bin", forge.changed(b.pki, module_id="i-0" + text)))
        point("cbor-bad-text" in shown.stdout and "i-0" not in shown.stdout.split("certificate 0")[0],
              f"show does not obey {ascii(text)}", ascii(shown.stdout))


def from_eif(b):
    image = VECTORS / "eif/p384.signed.eif"
    if not image.exists():
        point(True, f"a policy from an image # SKIP {image} is not there; set QT_VECTORS")
        return
    made = json.loads(run("attest", "policy", "--from-eif", image).stdout)
    expected = json.loads((VECTORS / "eif/p384.signed.describe.json").read_text())["Measurements"]
    point([s["Profile"] for s in made["PcrSets"]] == ["nitro", "qingtian"] and
          all(s[k] == expected[k] for s in made["PcrSets"] for k in s if k.startswith("PCR")),
          "a policy from an image has its measurements", made)
    pcrs = {int(k[3:]): bytes.fromhex(v) for k, v in expected.items() if k.startswith("PCR")}
    b.verify("and accepts it", "ok", policy=made, document=forge.changed(b.pki, pcrs=pcrs))
    pcrs[0] = bytes([pcrs[0][0] ^ 1]) + pcrs[0][1:]
    b.verify("and not another", "pcr-mismatch", policy=made, document=forge.changed(b.pki, pcrs=pcrs))
    os.mkfifo(b.directory / "fifo")
    done = run("attest", "policy", "--from-eif", b.directory / "fifo")
    point(done.returncode == 3 and "regular file" in done.stderr, "a FIFO is no image, and not waited for", done.returncode, done.stderr)
    named = [b.directory / "n" / name for name in ("x" * 204, os.fsdecode(b"\xff.eif"), "x" * 127)]
    named[0].parent.mkdir()
    for path in named:
        path.symlink_to(image)
    for words in (("--from-eif", named[0]), ("--from-eif", named[1]), ("--from-eif", image, "--name", ""),
                  ("--from-eif", image, "--name", "x" * 128), ("--from-eif", image, "--name", os.fsdecode(b"\xc3"))):
        done = subprocess.run([PROGRAM, "attest", "policy", *map(str, words)], capture_output=True, timeout=60)
        point(done.returncode == 2 and b"Usage" in done.stderr and b"--name" in done.stderr and not done.stdout,
              "a name that no policy can have is refused", done.returncode, done.stderr)
    for words in (("--from-eif", named[2]), ("--from-eif", named[0], "--name", "y" * 127), ("--from-eif", named[1], "--name", "ü")):
        b.verify("what is written is a policy", "pcr-mismatch", policy=json.loads(run("attest", "policy", *words).stdout))
    aws = made["Conditions"]["AwsKms"]["StringEqualsIgnoreCase"]
    huawei = made["Conditions"]["HuaweiIam"]["StringEqualsIgnoreCase"]
    point(aws["kms:RecipientAttestation:PCR8"] == expected["PCR8"] and
          huawei == {f"kms:RecipientAttestation/{p}": [expected[p]] for p in ("PCR0", "PCR8")},
          "and has the conditions of both clouds", aws, huawei)
    from_two(b, image, made)


def from_two(b, signed, alone):
    """During an upgrade: the old image and the new one."""
    plain = b.put("plain.eif", eif_damage.IMAGE)
    made = json.loads(run("attest", "policy", "--from-eif", plain, "--from-eif", signed, "--name", "old").stdout)
    point([(s["Name"], s["Profile"]) for s in made["PcrSets"]] == [(name, p) for name in ("old", signed.name) for p in ("nitro", "qingtian")]
          and made["PcrSets"][2:] == alone["PcrSets"], "a policy from two images has a set of each for each platform", made)
    for s in made["PcrSets"][::2]:
        b.verify(f"and accepts {s['Name']}", "ok", policy=made,
                 document=forge.changed(b.pki, pcrs={int(k[3:]): bytes.fromhex(v) for k, v in s.items() if k.startswith("PCR")}))
    mixed = {0: made["PcrSets"][0]["PCR0"], **{int(k[3:]): v for k, v in made["PcrSets"][2].items() if k in ("PCR1", "PCR2")}}
    b.verify("but no mixture of them", "pcr-mismatch", policy=made,
             document=forge.changed(b.pki, pcrs={k: bytes.fromhex(v) for k, v in mixed.items()}))
    aws, huawei = made["Conditions"]["AwsKms"]["StringEqualsIgnoreCase"], made["Conditions"]["HuaweiIam"]["StringEqualsIgnoreCase"]
    both = [made["PcrSets"][0]["PCR0"], made["PcrSets"][2]["PCR0"]]
    point(aws["kms:RecipientAttestation:PCR0"] == huawei["kms:RecipientAttestation/PCR0"] == both and not any("PCR8" in k for k in (*aws, *huawei)),
          "its conditions name both, and no signer that one of them lacks", aws, huawei)
    for what, arguments, words in (("two images of one name", ("--from-eif", plain, "--from-eif", plain), "give each a --name"),
                                   ("a name too many", ("--from-eif", plain, "--name", "a", "--name", "b"), "--name b"),
                                   ("more images than a policy has sets", [a for i in range(33) for a in ("--from-eif", plain, "--name", f"n{i}")], "at most 32")):
        refused = run("attest", "policy", *arguments)
        point(refused.returncode == 2 and words in refused.stderr and not refused.stdout, f"{what}: refused", refused.stderr)


with tempfile.TemporaryDirectory(prefix="qt-attest-") as made_directory:
    bench = Bench(pathlib.Path(made_directory))
    for part in (policies, derived, debug, times, bindings, revocation, signed_policy, usage, show, show_is_plain, from_eif):
        part(bench)
known = set(re.findall(r'^ +X\([A-Z0-9_]+, "([a-z0-9-]+)"',
                       (SOURCE / "attest/attest.h").read_text().split("/* the policy */")[1], re.M))
point(len(known) > 10 and not known - reached, "every reason of the policy verdict was reached", *sorted(known - reached))
print(f"1..{n}")
