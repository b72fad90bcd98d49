#define BITVIT_ISA avx2
#include "kernels/grid/grid.inl"
