#define BITVIT_ISA avx512
#include "kernels/pointwise/pointwise.inl"
