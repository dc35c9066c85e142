# SPDX-License-Identifier: Apache-2.0
"""./demo as a person runs it: to its end, and interrupted in the middle. Neither leaves anything behind."""
import glob
import os
import signal
import subprocess
import sys
import tempfile
import time

from harness import BUILD, PATIENCE, SOURCE, check, done, processes_below, wait_for
from vsock_vm import kernel_directory, reason_to_skip

if reason := reason_to_skip():
    print(f"1..0 # SKIP {reason}")
    sys.exit()

runtime = tempfile.mkdtemp(prefix="qt-")  # its own, so that leftovers are its own
environment = {**os.environ, "QT_DEMO_BUILD": str(BUILD), "QT_ENCLAVE_KERNEL_DIR": str(kernel_directory()),
               "XDG_RUNTIME_DIR": runtime}


def start():
    return subprocess.Popen([str(SOURCE / "demo")], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, start_new_session=True)


def left():
    return glob.glob(runtime + "/*") + processes_below(runtime)


p = start()
text, _ = p.communicate(timeout=5 * PATIENCE)
check(p.returncode == 0 and "enclave heard: Hello, enclave" in text, "the demo runs to its end, and the enclave answers", text)
check("The answer is 42." in text and "the KMS refused" in text,
      "the measured image reads its secret, the changed one is refused", text)
check(not left(), "and leaves nothing behind", *left())

p = start()
text = ""
for line in p.stdout:
    text += line
    if "qt-enclave run" in line:
        break
time.sleep(1)
os.killpg(p.pid, signal.SIGINT)  # as the terminal does for Ctrl-C
text += p.stdout.read()
check(p.wait(PATIENCE) == 130, "interrupted while its enclave starts, it ends", p.returncode, text)
wait_for(lambda: not processes_below(runtime), "no process", 20)
check(not left(), "and leaves nothing behind either", *left())
os.rmdir(runtime)
done()
