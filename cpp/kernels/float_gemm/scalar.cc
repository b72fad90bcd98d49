#define BITVIT_ISA scalar
#include "kernels/float_gemm/float_gemm.inl"
