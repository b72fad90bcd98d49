// The table of the kernels of one instruction set, compiled once for each of them, with BITVIT_ISA as its name.
#include "kernels/kernels.h"

namespace bitvit::BITVIT_ISA {

#define BITVIT_KERNELS(name, Type) const Type& name##_kernels();
#include "kernels/kernels.inc"
#undef BITVIT_KERNELS

const Kernels& kernels() {
  static const Kernels kKernels = {
#define BITVIT_KERNELS(name, Type) name##_kernels(),
#include "kernels/kernels.inc"
#undef BITVIT_KERNELS
  };
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA
