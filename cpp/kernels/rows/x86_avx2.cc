#define BITVIT_ISA avx2
#include "kernels/rows/rows.inl"
