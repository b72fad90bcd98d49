// Output rows of bits that may be split into heads: [N, C] and [N, H, D] hold the same bits, but the rows of D are
// padded to words.
#pragma once

#include <cstdint>

#include "ops/value.h"

namespace bitvit {

class BitRows {
 public:
  explicit BitRows(const Value& value);

  // Whether a row of C bits is already in the form of the output.
  bool is_flat() const { return width_ % 64 == 0 || n_heads_ == 1; }
  // Scratch that Write needs.
  size_t scratch_bytes() const { return is_flat() ? 0 : kBlock * flat_words_ * 8; }

  // Calls produce(begin, end, words) for parts of the rows begin..end-1; it writes rows of BitWords(C) words.
  template <typename Produce>
  void Write(size_t begin, size_t end, uint64_t* out, void* scratch, const Produce& produce) const {
    if (is_flat()) {
      produce(begin, end, out + begin * flat_words_);
      return;
    }
    uint64_t* const flat = static_cast<uint64_t*>(scratch);
    for (size_t r = begin; r < end; r += kBlock) {
      const size_t stop = end - r < kBlock ? end : r + kBlock;
      produce(r, stop, flat);
      Split(flat, stop - r, out + r * n_heads_ * BitWords(width_));
    }
  }

 private:
  static constexpr size_t kBlock = 16;

  void Split(const uint64_t* flat, size_t n_rows, uint64_t* out) const;

  size_t n_heads_, width_, flat_words_;
};

}  // namespace bitvit
