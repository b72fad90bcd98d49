#define BITVIT_ISA scalar
#include "kernels/grid/grid.inl"
