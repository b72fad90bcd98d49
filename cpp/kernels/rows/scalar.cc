#define BITVIT_ISA scalar
#include "kernels/rows/rows.inl"
