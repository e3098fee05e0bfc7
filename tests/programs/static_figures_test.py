#!/usr/bin/env python3
"""static_figures.py on what nvcc and cuobjdump of CUDA 13 write, cut short."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
BENCHMARKS = pathlib.Path(__file__).resolve().parent.parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import static_figures

TENSOR, PACK = "_Z28conv2d_tensor_forward_kernelPKf", "_Z19pack_filters_kernelPKf"
RESOURCES = f"""ptxas info    : Compiling entry function '{TENSOR}' for 'sm_90'
ptxas info    : Function properties for {TENSOR}
    8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 1024 bytes smem
ptxas info    : Compiling entry function '{PACK}' for 'sm_90'
ptxas info    : Function properties for {PACK}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 16 registers, used 0 barriers
"""
CODE = f"""
Fatbin elf code:
================
arch = sm_90

	code for sm_90
		Function : {TENSOR}
	.headerflags	@"EF_CUDA_SM90 EF_CUDA_VIRTUAL_SM(EF_CUDA_SM90)"
        /*0000*/                   LDC R1, c[0x0][0x28] ;              /* 0x00000a00ff017b82 */
                                                                       /* 0x000fe20000000800 */
        /*0010*/               @P0 EXIT ;                              /* 0x000000000000094d */
        /*0020*/              @!P1 LDG.E.128 R8, desc[UR4][R2.64] ;    /* 0x0000000402087981 */
        /*0030*/                   LDG.E R0, desc[UR6][R2.64] ;        /* 0x0000000602007981 */
        /*0040*/             @!UP0 UMOV UR4, 0x400 ;                   /* 0x0000040000047882 */
        /*0050*/                   HMMA.1688.F32.TF32 R4, R8, R12, R4 ; /* 0x0000000c0804723c */
        /*0060*/                   LDS.128 R8, [R6] ;                  /* 0x0000000006087984 */
        /*0070*/                   STL [R1], R0 ;                      /* 0x0000000001007387 */
        /*0080*/                   BRA 0x80;                           /* 0xfffffffc00fc7947 */
        /*0090*/                   NOP;                                /* 0x0000000000007918 */
		..........
		Function : {PACK}
        /*0000*/                   STG.E.128 desc[UR4][R4.64], R8 ;    /* 0x0000000804007986 */
        /*0010*/                   EXIT ;                              /* 0x000000000000794d */
		..........
"""
SECTIONS = f"""
.nv.info
	<0x1>
	Attribute:	EIATTR_REGCOUNT
	Format:	EIFMT_SVAL
	Value:	function: {TENSOR}(0xe)	register count: 128

.nv.info.{TENSOR}
	<0x10>
	Attribute:	EIATTR_MAX_THREADS
	Format:	EIFMT_SVAL
	Value:	0x80 0x1 0x1{' '}

.nv.info.{PACK}
	<0x1>
	Attribute:	EIATTR_CUDA_API_VERSION
	Format:	EIFMT_SVAL
	Value:	0x82
"""


class StaticFigures(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)
        self.reports = self.build / "kernels/cuda"
        self.reports.mkdir(parents=True)
        (self.reports / "conv2d_tensor_forward.cu.o.resources").write_text(RESOURCES)
        (self.build / "code").write_text(CODE)
        (self.build / "sections").write_text(SECTIONS)
        self.cuobjdump = self.build / "cuobjdump"  # as it is called: cuobjdump -sass|-elf -arch sm_90 FILE
        self.cuobjdump.write_text(f'#!/bin/sh\n[ "$2 $3" = "-arch sm_90" ] || exit 1\ncase $1 in -sass) cat {self.build}/code;; -elf) cat {self.build}/sections;; esac\n')
        self.cuobjdump.chmod(0o755)

    def table(self, *arguments):
        run = subprocess.run([sys.executable, BENCHMARKS / "static_figures.py", self.build, *arguments], capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in run.stdout.splitlines() if line.startswith("|")]

    def test_machine_code(self):
        counts, bounds = static_figures.machine_code(str(self.cuobjdump), self.reports / "conv2d_tensor_forward.cu.o", "sm_90")
        count = lambda kernel: {name: n for name, n in counts[kernel].items() if n}
        self.assertEqual(count(TENSOR), {"all": 9, "LDG": 2, "LDG.128": 1, "HMMA": 1, "LDS": 1, "LDS.128": 1, "local": 1})  # NOP is padding
        self.assertEqual(count(PACK), {"all": 2, "STG": 1, "STG.128": 1})
        self.assertEqual(bounds, {TENSOR: 128})

    def test_table(self):
        header, _, tensor, pack = self.table("--cuobjdump", self.cuobjdump)
        self.assertEqual([dict(zip(header, tensor))[name] for name in ("HMMA", "LDG", "all")], ["1", "2", "9"])
        # 128 threads of 128 registers: four blocks, 16 of 64 warps, fewer where the launch asks for much shared memory.
        self.assertEqual(tensor[:6], ["conv2d_tensor_forward", "conv2d_tensor_forward_kernel", "128", "8", "1024", "at most 25%"])
        self.assertEqual(pack[:6], ["conv2d_tensor_forward", "pack_filters_kernel", "16", "0", "0", "100%"])

    def test_every_kernel_with_dynamic_shared_memory_is_known(self):
        for source in static_figures.SOURCES.glob("*.cu"):
            text = source.read_text()
            self.assertEqual(len(static_figures.with_dynamic_shared(text)), text.count("MICA_SHARED_DYNAMIC"), source.name)

    def test_an_architecture_that_is_not_there(self):
        def run(*options):
            return subprocess.run([sys.executable, BENCHMARKS / "static_figures.py", self.build, "--cuobjdump", self.cuobjdump, *options], capture_output=True, text=True)

        done = run("--arch", "sm_75")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"no kernels of sm_75 under {self.build}, which has sm_90; --arch names one of these", done.stderr)
        (self.reports / "conv2d_tensor_forward.cu.o.resources").write_text(RESOURCES.replace("sm_90", "sm_75"))
        self.cuobjdump.write_text("#!/bin/sh\n")
        self.assertRegex(run("--arch", "sm_75").stdout, r"\| 16 \| 0 \| 0 \| – \|")  # whose multiprocessors are others


if __name__ == "__main__":
    unittest.main()
