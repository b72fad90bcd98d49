// Copies of bits that do not begin at a word.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitvit {

// Bits first..first + n - 1 (n <= 64) of a row as the low bits of a word.
inline uint64_t ReadBits(const uint64_t* row, size_t first, size_t n) {
  uint64_t word = row[first / 64] >> (first % 64);
  if (first % 64 + n > 64) word |= row[first / 64 + 1] << (64 - first % 64);
  return n == 64 ? word : word & ((uint64_t{1} << n) - 1);
}

// Sets the bits first..first + n - 1 of a row, which must be 0 before, to n bits of another that begin at
// `source_first`.
inline void AppendBits(const uint64_t* source, size_t source_first, size_t n, uint64_t* row, size_t first) {
  while (n != 0) {
    const size_t count = n < 64 ? n : 64;
    const uint64_t word = ReadBits(source, source_first, count);
    row[first / 64] |= word << (first % 64);
    if (first % 64 + count > 64) row[first / 64 + 1] |= word >> (64 - first % 64);
    source_first += count;
    first += count;
    n -= count;
  }
}

}  // namespace bitvit
