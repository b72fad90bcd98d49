#define BITVIT_ISA avx2
#include "kernels/pointwise/pointwise.inl"
