#define BITVIT_ISA avx2
#include "kernels/float_gemm/float_gemm.inl"
