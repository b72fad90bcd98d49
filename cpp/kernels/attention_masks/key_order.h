// The order of the keys in a block of bytes, which interleave to floats in the order of the keys: byte 16 L + 4 r + i
// is key (kKeys / 4) r + 4 L + i.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitvit::BITVIT_ISA {

template <size_t kKeys>
constexpr size_t key_of_byte(size_t i) {
  return i % 16 / 4 * (kKeys / 4) + i / 16 * 4 + i % 4;
}

// 255 in the bytes whose keys are not among the first n of a block.
template <size_t kKeys>
struct KeyMasks {
  uint8_t beyond[kKeys + 1][kKeys];
};

template <size_t kKeys>
constexpr KeyMasks<kKeys> make_key_masks() {
  KeyMasks<kKeys> masks{};
  for (size_t n = 0; n <= kKeys; ++n) {
    for (size_t i = 0; i < kKeys; ++i) masks.beyond[n][i] = key_of_byte<kKeys>(i) < n ? 0 : 255;
  }
  return masks;
}

}  // namespace bitvit::BITVIT_ISA
