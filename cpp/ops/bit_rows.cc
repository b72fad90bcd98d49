#include "ops/bit_rows.h"

#include "ops/bit_copy.h"

namespace bitvit {

BitRows::BitRows(const Value& value)
    : n_heads_(value.shape.size() == 3 ? value.shape[1] : 1),
      width_(value.width()),
      flat_words_(BitWords(n_heads_ * width_)) {}

void BitRows::Split(const uint64_t* flat, size_t n_rows, uint64_t* out) const {
  for (size_t r = 0; r < n_rows; ++r, flat += flat_words_) {
    for (size_t h = 0; h < n_heads_; ++h) {
      for (size_t d = 0; d < width_; d += 64, ++out) {
        const size_t first = h * width_ + d, n = width_ - d < 64 ? width_ - d : 64;
        *out = ReadBits(flat, first, n);
      }
    }
  }
}

}  // namespace bitvit
