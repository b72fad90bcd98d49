// Weight layout of the vector kernels: [ceil(O / 16)][ceil(K / kGroup)][16 outputs][kGroup inputs], zero-padded.
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

template <size_t kGroup>
BITVIT_INLINE size_t group_bytes(size_t n_inputs, size_t n_outputs) {
  return (n_outputs + 15) / 16 * ((n_inputs + kGroup - 1) / kGroup) * 16 * kGroup;
}

template <size_t kGroup>
BITVIT_INLINE void pack_groups(const int8_t* weight, size_t n_inputs, size_t n_outputs, void* packed) {
  int8_t* const out = static_cast<int8_t*>(packed);
  const size_t n_groups = (n_inputs + kGroup - 1) / kGroup;
  __builtin_memset(out, 0, group_bytes<kGroup>(n_inputs, n_outputs));
  for (size_t o = 0; o < n_outputs; ++o) {
    for (size_t k = 0; k < n_inputs; ++k) {
      out[((o / 16 * n_groups + k / kGroup) * 16 + o % 16) * kGroup + k % kGroup] = weight[o * n_inputs + k];
    }
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA
