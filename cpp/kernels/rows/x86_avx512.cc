#define BITVIT_ISA avx512
#include "kernels/rows/rows.inl"
