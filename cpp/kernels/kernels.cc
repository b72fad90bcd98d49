#include "kernels/kernels.h"

namespace bitvit {

#define BITVIT_INSTRUCTION_SET(name, id, architecture, options) \
  BITVIT_IF_##architecture(namespace name { const Kernels& kernels(); })
#include "base/instruction_sets.inc"
#undef BITVIT_INSTRUCTION_SET

const Kernels& KernelsFor(Isa isa) {
  switch (isa) {
#define BITVIT_INSTRUCTION_SET(name, id, architecture, options) \
  BITVIT_IF_##architecture(case Isa::id : return name::kernels();)
#include "base/instruction_sets.inc"
#undef BITVIT_INSTRUCTION_SET
    default:  // of another architecture
      return KernelsFor(AvailableIsas().back());
  }
}

namespace portable {
const ValueProductKernels& value_product_kernels();
}

const ValueProductKernels& UnlimitedValueProduct() { return portable::value_product_kernels(); }

}  // namespace bitvit
