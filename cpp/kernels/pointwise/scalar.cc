#define BITVIT_ISA scalar
#include "kernels/pointwise/pointwise.inl"
