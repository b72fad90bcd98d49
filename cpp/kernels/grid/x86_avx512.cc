#define BITVIT_ISA avx512
#include "kernels/grid/grid.inl"
