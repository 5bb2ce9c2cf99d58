"""The kernels against plain loops (``self_test.cpp``), on every instruction set that runs here or is emulated."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from fairseq_specdec.engine.native import library as native

CSRC = Path(native.__file__).with_name("csrc")
FLAGS = ["-O1", "-std=c++17", "-ffp-contract=off", "-fopenmp", "-Wno-psabi", f"-I{CSRC}"]
AVX512 = ["-mfma", "-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl"]


def run(tmp_path, compiler, flags, emulator=()):
    """Compile the program and run it; fail with what it printed."""
    program = tmp_path / "self_test"
    source = Path(__file__).with_name("self_test.cpp")
    subprocess.run([compiler, *FLAGS, *flags, str(source), "-o", str(program)], check=True, timeout=120)
    done = subprocess.run([*emulator, str(program)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here to compile the program with")
@pytest.mark.parametrize(("name", "flags"), [("avx512", AVX512), ("avx2", ["-mavx2", "-mfma"]), ("portable", [])])
def test_the_kernels_do_what_plain_loops_do(tmp_path, name, flags):
    capability = torch.backends.cpu.get_cpu_capability()
    if name != "portable" and capability not in {"avx512": ("AVX512",), "avx2": ("AVX512", "AVX2")}[name]:
        pytest.skip(f"this processor has no {name} (torch says {capability})")
    run(tmp_path, "g++", flags)


@pytest.mark.skipif(platform.machine() == "aarch64", reason="the native program is the one for AArch64")
def test_the_kernels_do_what_plain_loops_do_on_aarch64(tmp_path):
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("wants Debian's packages g++-aarch64-linux-gnu and qemu-user")
    run(tmp_path, compiler, ["-static"], [emulator])
