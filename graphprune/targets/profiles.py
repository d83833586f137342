"""The table of targets. A new one is a record here; figures are those of one run, with versions.

Measured in November 2026, on an AMD EPYC with AVX2, unless a figure says otherwise: "three layers
of 1,024" are Dense layers with a batch of 1 and one thread, compared with dense float32.
"""

from __future__ import annotations

from graphprune.errors import PlanError
from graphprune.suggestions import closest
from graphprune.targets.target import CONVOLUTIONS, Target, Trial, Use, Zeros

_FOUR = Zeros((("in", 4),), more_than=0.3)
_SIXTEEN = Zeros((("in", 16),), more_than=0.3)
_STORED = Zeros(more_than=0.3)
_TWO_OF_FOUR = Zeros(keep_of=(2, 4))
_KERNELS = "tensorflow/lite/kernels/fully_connected.cc: block sparse with block size of 1x4, 1x16"
_CONVERTER = "tensorflow/compiler/mlir/lite/transforms/dense_to_sparse.cc"

_DENSE_BLOCKS = Use(
    "speed",
    ("Dense",),
    _FOUR,
    "LiteRT's own kernel skips such blocks in float32 files with sparse encoding",
)
_SPARSE_FILE = Use(
    "size", ("Dense", "Conv2D"), _STORED, "float32 files with sparse encoding leave the zeros out"
)
_MEASURED_LITERT = Trial(
    "ai-edge-litert 2.3.0",
    "three layers of 1,024 in blocks of 4: 0.09x at 90%, 0.18x at 80%, 0.57x at 50%, 0.76x at 40%;"
    " 1.4 MB instead of 12.7 MB at 90%. Single weights at 90%: 0.97x, 2.0 MB. Dynamic range"
    " quantization without any zeros: 0.06x, 3.2 MB",
)

TARGETS = (
    Target(
        "litert-xnnpack-arm",
        "LiteRT (TensorFlow Lite) with XNNPACK on Arm processors, float32",
        (
            Use(
                "speed",
                ("Conv2D",),
                Zeros(more_than=2 / 3),
                "XNNPACK, in a region of layers that it knows; builtin:xnnpack-latency checks them",
                pointwise=True,
            ),
            _DENSE_BLOCKS,
            _SPARSE_FILE,
        ),
        ("xnnpack-latency", "block-4x1", "dense-blocks-16x1"),
        (
            "stock MobileNets gain nothing: their stem pads by itself",
            "where an operator in the region has no such kernel, LiteRT runs it dense, computes"
            " something else or does not load the file; strip stores such files dense",
        ),
        (
            Trial(
                "ai-edge-litert 2.3.0, aarch64 emulated by QEMU",
                "159 small nets: 88 run sparse with equal outputs, 55 run dense, 11 compute"
                " something else, 5 do not load; builtin:xnnpack-latency accepts 82 of the 88, and"
                " 2 that run dense. Latency not tried, which needs an Arm processor",
            ),
        ),
        (
            "XNNPACK src/subgraph.c, xnn_subgraph_rewrite_for_nchw: num_zeroes * 3 <= num_params *"
            " 2 stays dense",
            "tensorflow/lite/delegates/xnnpack/xnnpack_delegate.cc: static_sparse_weights_",
            "Elsen et al., Fast Sparse ConvNets, CVPR 2020 (arXiv:1911.09723)",
            _KERNELS,
        ),
    ),
    Target(
        "litert-xnnpack-x86",
        "LiteRT (TensorFlow Lite) with XNNPACK on x86 processors with AVX, float32",
        (_DENSE_BLOCKS, _SPARSE_FILE),
        ("block-4x1", "dense-blocks-16x1"),
        (
            "convolutions gain nothing: XNNPACK has no sparse ones in use with AVX",
            "single weights in Dense gain nothing: they are made dense again at each run",
        ),
        (_MEASURED_LITERT,),
        (_KERNELS, _CONVERTER),
    ),
    Target(
        "litert-int8",
        "LiteRT (TensorFlow Lite), weights and activations in int8",
        (
            Use(
                "size",
                ("Dense",),
                _SIXTEEN,
                "LiteRT's own kernel skips such blocks in int8 files with sparse encoding",
            ),
        ),
        ("dense-blocks-16x1",),
        (
            "zeros bring no speed over dense int8",
            "blocks of 4 with sparse encoding do not load",
            "dynamic range quantization with sparse encoding does not load in blocks of 4, and"
            " computes something else in blocks of 16",
        ),
        (
            Trial(
                "ai-edge-litert 2.3.0",
                "three layers of 1,024 in blocks of 16: 0.08x and 0.45 MB at 90%, 0.13x and 0.78 MB"
                " at 80%, 0.29x and 1.8 MB at 50%; dense int8 0.06x and 3.3 MB",
            ),
        ),
        (_KERNELS, _CONVERTER),
    ),
    Target(
        "tensorrt",
        "TensorRT on NVIDIA graphics cards from Ampere on, 2:4 sparse tensor cores",
        (
            Use(
                "speed",
                ("Dense", "Conv2D"),
                _TWO_OF_FOUR,
                "sparse tensor cores, with the builder flag SPARSE_WEIGHTS; TensorRT times dense"
                " and sparse kernels, and takes the faster",
            ),
        ),
        ("two-of-four",),
        ("other patterns bring nothing",),
        (Trial("", "no graphics card on the machine that measured this table"),),
        (
            "Mishra et al., Accelerating Sparse Deep Neural Networks, 2021 (arXiv:2104.08378)",
            "NVIDIA TensorRT Developer Guide, Structured Sparsity",
        ),
    ),
    Target(
        "coreml",
        "Core ML on Apple devices, ML programs from iOS 16 and macOS 13 on",
        (
            Use(
                "size",
                (),
                Zeros(more_than=0.5),
                "prune_weights of coremltools stores a bit mask and the weights that are not zero",
            ),
        ),
        ("all-90",),
        (),
        (
            Trial(
                "coremltools 9.0",
                "three layers of 1,024 in float16, by OpThresholdPrunerConfig: 6.3 MB dense, 3.5 MB"
                " at 50%, 2.0 MB at 75%, 1.0 MB at 90%; latency not tried, which needs an Apple"
                " device",
            ),
        ),
        (
            "https://apple.github.io/coremltools/docs-guides/source/pruning-a-core-ml-model.html",
            "https://apple.github.io/coremltools/source/coremltools.optimize.coreml.pruning.html",
        ),
    ),
    Target(
        "ethos-u55",
        "Arm Ethos-U55 and U65, compiled by Vela, int8",
        (
            Use(
                "size",
                (*CONVOLUTIONS, "Dense"),
                Zeros(),
                "Vela compresses weights without loss; fewer bytes also save memory bandwidth",
            ),
        ),
        ("all-90",),
        ("zeros are multiplied as any other weight; a net that waits for memory gets faster",),
        (
            Trial(
                "ethos-u-vela 5.2.0, ethos-u55-128",
                "int8 net of 4 convolutions and 2 Dense layers, 292 kB of weights: encoded in 229"
                " kB dense, 146 kB at 50%, 75 kB at 80%, 36 kB at 90%; estimated 2.49 ms, 2.46,"
                " 2.44, 2.42. A net that waits for its weights, two thirds of them in a Dense"
                " layer: estimated 0.62 ms dense, 0.39 at 50%, 0.20 at 80%, 0.11 at 90%",
            ),
        ),
        (
            "https://developer.arm.com/community/arm-community-blogs/b/ai-blog/posts/"
            "pruning-clustering-arm-ethos-u-npu",
            "https://pypi.org/project/ethos-u-vela/",
        ),
    ),
    Target(
        "ethos-u85",
        "Arm Ethos-U85, compiled by Vela, int8",
        (
            Use(
                "speed",
                ("Conv2D", "Dense"),
                _TWO_OF_FOUR,
                "the processor skips two of four weights; Vela finds the pattern by itself",
            ),
            Use(
                "size",
                (*CONVOLUTIONS, "Dense"),
                Zeros(),
                "Vela compresses weights without loss; fewer bytes also save memory bandwidth",
            ),
        ),
        ("two-of-four",),
        (),
        (
            Trial(
                "ethos-u-vela 5.2.0, ethos-u85-256",
                "the net of ethos-u55: 2:4 takes 503 thousand cycles of the processor instead of"
                " 775, and 803 instead of 847 with memory; 50% and 90% without a pattern take 844"
                " and 844, and 149 kB and 37 kB instead of 246 kB",
            ),
        ),
        ("https://arm-software.github.io/CMSIS-Ethos-U/main/vela/index.html",),
    ),
    Target(
        "hls4ml",
        "hls4ml, networks in the logic of an FPGA",
        (
            Use(
                "speed",
                (*CONVOLUTIONS, "Dense"),
                Zeros(),
                "synthesis leaves out multipliers by zero where all weights are unrolled (strategy"
                " Latency, reuse factor 1): fewer DSPs and less logic",
            ),
        ),
        ("all-90",),
        ("with a reuse factor above 1, only whole groups that share a multiplier save it",),
        (Trial("", "synthesis needs Vivado or Vitis HLS, which no package registry has"),),
        (
            "Duarte et al., Fast inference of deep neural networks in FPGAs, 2018"
            " (arXiv:1804.06913)",
            "https://fastmachinelearning.org/hls4ml/advanced/model_optimization.html",
        ),
    ),
    Target(
        "gzip",
        "Any runtime: the file is smaller after compression, and nothing runs faster",
        (Use("size", (), Zeros(), "gzip, and zip in .keras files, store repeated zeros shortly"),),
        ("all-90",),
        (),
        (
            Trial(
                "gzip level 6",
                "three layers of 1,024, .tflite without sparse encoding: 11.7 MB dense, 2.6 MB at"
                " 90% by single weights, 2.3 MB at 90% in blocks of 4",
            ),
        ),
        (),
    ),
)


def find_target(name: str) -> Target:
    """Return the target of a name.

    Raises:
        PlanError: there is none.

    Example:
        >>> find_target("gzip").gains
        ('size',)
    """
    found = next((target for target in TARGETS if target.name == name), None)
    if found is None:
        known = [target.name for target in TARGETS]
        raise PlanError(
            f"no target is called {name!r}; {closest(name, known) or 'known: ' + ', '.join(known)}"
        )
    return found
