# SPDX-License-Identifier: Apache-2.0
"""Write text files as C string constants: embed.py OUTPUT INPUT…; a.b.varlink becomes text_a_b."""
import pathlib
import sys

lines = ["/* Made by embed.py; edit the .varlink files instead. */", ""]
for name in sys.argv[2:]:
    source = pathlib.Path(name)
    lines.append(f"static const char text_{source.stem.replace('.', '_')}[] =")
    for line in source.read_text(encoding="ascii").splitlines():
        escaped = line.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'        "{escaped}\\n"')
    lines[-1] += ";"
    lines.append("")
pathlib.Path(sys.argv[1]).write_text("\n".join(lines))
