#define BITVIT_ISA avx512
#include "kernels/float_gemm/float_gemm.inl"
