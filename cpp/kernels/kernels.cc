#include "kernels/kernels.h"

namespace bitvit {
namespace {

#define BITVIT_KERNELS(isa)                                                                                            \
  Kernels {                                                                                                            \
    isa::rows_kernels(), isa::float_gemm_kernels(), isa::byte_gemm_kernels(), isa::binary_gemm_kernels(),              \
        isa::attention_masks_kernels(), isa::value_product_kernels(), isa::grid_kernels(), isa::binary_conv_kernels(), \
        isa::pointwise_kernels()                                                                                       \
  }

}  // namespace

const Kernels& KernelsFor(Isa isa) {
  static const Kernels scalar_kernels = BITVIT_KERNELS(scalar);
#if defined(__x86_64__)
  // Even these tables are built by functions compiled for the instruction set: only where it is available.
  if (isa == Isa::kAvx2) {
    static const Kernels kernels = BITVIT_KERNELS(avx2);
    return kernels;
  }
  if (isa == Isa::kAvx512) {
    static const Kernels kernels = BITVIT_KERNELS(avx512);
    return kernels;
  }
#endif
  (void)isa;
  return scalar_kernels;
}

}  // namespace bitvit
