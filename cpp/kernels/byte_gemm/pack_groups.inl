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
  int8_t* block = static_cast<int8_t*>(packed);
  const size_t n_whole = n_inputs / kGroup, n_left = n_inputs % kGroup, step = 16 * kGroup;
  for (size_t first = 0; first < n_outputs; first += 16, block += (n_whole + (n_left != 0 ? 1 : 0)) * step) {
    for (size_t i = 0; i < 16; ++i) {
      const bool is_output = first + i < n_outputs;
      const int8_t* const row = is_output ? weight + (first + i) * n_inputs : nullptr;
      int8_t* out = block + i * kGroup;
      for (size_t k = 0; k < n_whole; ++k, out += step) {
        if (is_output) {
          __builtin_memcpy(out, row + k * kGroup, kGroup);
        } else {
          __builtin_memset(out, 0, kGroup);
        }
      }
      for (size_t k = 0; n_left != 0 && k < kGroup; ++k) {
        out[k] = is_output && k < n_left ? row[n_whole * kGroup + k] : int8_t{0};
      }
    }
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA
