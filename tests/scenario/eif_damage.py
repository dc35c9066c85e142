# SPDX-License-Identifier: Apache-2.0
"""An image, and every way to spoil it with the code that a reader must find."""
import os

import eif_bytes as eif

BASE = [(eif.KERNEL, b"KERNEL"), (eif.CMDLINE, b"console=ttyS0"),
        (eif.METADATA, b'{"ImageName":"sample","ImageVersion":"7","BuildMetadata":{"BuildTool":"test"},'
                       b'"DockerInfo":null,"CustomMetadata":{"Team":"x"}}'),
        (eif.RAMDISK, b"first ramdisk..."), (eif.RAMDISK, os.urandom(700_000)), (eif.RAMDISK, b"last")]
IMAGE = eif.compose(BASE)
SIZES, OFFSETS = 0x11c, 0x1c


def put(image, at, width, value):
    return image[:at] + value.to_bytes(width, "big") + image[at + width:]


def huge(size):
    return eif.with_crc(put(put(IMAGE, SIZES, 8, size), 552, 8, size))


# The sections cannot be located: (what, the bytes, the code)
UNREADABLE = (
    ("empty", b"", "too-short"),
    ("no EIF", b"#!/bin/sh\n" * 100, "bad-magic"),
    ("truncated", IMAGE[:-1], "truncated"),
    ("truncated in the header", IMAGE[:300], "too-short"),
    ("trailing bytes", IMAGE + b"x", "trailing-bytes"),
    ("a section of 2^60 bytes", huge(1 << 60), "truncated"),
    ("a section of 2^64-1 bytes", huge((1 << 64) - 1), "truncated"),
    ("33 sections", eif.with_crc(put(IMAGE, 0x1a, 2, 33)), "section-count"),
    ("no sections", eif.with_crc(put(IMAGE, 0x1a, 2, 0)), "section-count"),
    ("overlapping sections", eif.with_crc(put(IMAGE, OFFSETS + 8, 8, 548)), "overlap"),
    ("a gap", eif.compose(BASE, gap=b"gap"), "gap"),
    ("an offset behind the end", eif.with_crc(put(IMAGE, OFFSETS + 8, 8, 1 << 40)), "gap"),
    ("table and section disagree", eif.with_crc(put(IMAGE, SIZES + 8, 8, 12)), "size-mismatch"),
)
# They can, but no platform boots it
REFUSED = (
    ("wrong CRC", IMAGE[:-1] + b"X", "crc"),
    ("version 9", eif.with_crc(put(IMAGE, 4, 2, 9)), "bad-version"),
    ("version 1", eif.with_crc(put(IMAGE, 4, 2, 1)), "bad-version"),
    ("two kernels", eif.compose([BASE[0], *BASE]), "duplicate"),
    ("two metadata sections", eif.compose([*BASE, BASE[2]]), "duplicate"),
    ("no cmdline", eif.compose([BASE[0], *BASE[2:]]), "missing"),
    ("no ramdisk", eif.compose(BASE[:3]), "missing"),
    ("no metadata", eif.compose([*BASE[:2], *BASE[3:]]), "missing"),
    ("ramdisk before the kernel", eif.compose([BASE[3], *BASE]), "order"),
    ("unknown section", eif.compose([*BASE, (9, b"?")]), "unknown-type"),
    ("empty kernel", eif.compose([(eif.KERNEL, b""), *BASE[1:]]), "empty-section"),
    ("a NUL in the cmdline", eif.compose([BASE[0], (eif.CMDLINE, b"quiet\0evil"), *BASE[2:]]), "cmdline-nul"),
    ("a cmdline of 65 KiB", eif.compose([BASE[0], (eif.CMDLINE, b"x" * 66560), *BASE[2:]]), "too-large"),
    ("garbage for a signature", eif.compose([*BASE, (eif.SIGNATURE, b"garbage")]), "signature-malformed"),
)
# It boots, but no builder should write it
ODD = (
    ("unknown header flags", eif.compose(BASE, flags=0x240), "unknown-flags"),
    ("a reserved field", eif.compose(BASE, reserved=1), "reserved-field"),
    ("an unused table entry", eif.with_crc(put(IMAGE, OFFSETS + 8 * 20, 8, 5)), "unused-slot"),
    ("section flags", eif.with_crc(put(IMAGE, 550, 2, 1)), "section-flags"),
    ("metadata in version 3", eif.compose(BASE, version=3), "section-too-new"),
    ("metadata that is no JSON", eif.compose([*BASE[:2], (eif.METADATA, b"{"), *BASE[3:]]), "metadata-json"),
    ("a cpio archive at an odd place", eif.compose([*BASE[:3], (eif.RAMDISK, b"odd"), (eif.RAMDISK, b"070701...")]),
     "ramdisk-alignment"),
)
