// Scores of binary queries and keys, softmax by table, and the {0,1} planes of one head (docs/format.md,
// attention_masks).
//
//   p[n][m] = popcount(q[n] ^ k[m]);  e = table[p - min_m p];  a = e * (1 / sum16(e));  a_t = a - offset;  a bit for
//   each rule.
//
// Queries and keys are rows of BitWords(D) words. Parameters that are read by key may be read up to 15 elements beyond
// their end.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitvit {

inline constexpr size_t kMaxPlanes = 8;

enum class PlaneRule { kGreater, kAtLeast, kRowMax, kOnes };

struct AttentionShape {
  size_t n_keys, head_dim;
};

// Everything of one head that does not change from row to row. Offsets of row n begin at n (row_offset) or n * n_keys.
struct AttentionHead {
  const float* table;
  const float* row_offset;    // or nullptr
  const float* full_offset;   // or nullptr
  const int8_t* byte_offset;  // or nullptr
  float byte_offset_scale;
  size_t n_planes;
  PlaneRule rules[kMaxPlanes];
  float limits[kMaxPlanes];  // threshold, or the factor of kRowMax
};

struct AttentionMasksKernels {
  size_t (*packed_bytes)(const AttentionShape& shape);
  // keys: row m begins at m * stride words.
  void (*pack_keys)(const uint64_t* keys, size_t stride, const AttentionShape& shape, void* packed);
  // Scratch, aligned to 64 bytes, that one call of `masks` or `weights` needs.
  size_t (*scratch_bytes)(const AttentionShape& shape);
  // Rows first..first + n_rows - 1 of a head; query n begins at n * stride words; plane i of row n is written at
  // masks[i] + n * BitWords(n_keys).
  void (*masks)(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
                const AttentionHead& head, size_t first, size_t n_rows, uint64_t* const* masks, void* scratch);
  // Largest a_t of the rows first..first + n_rows - 1 of a head.
  float (*maximum)(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
                   const AttentionHead& head, size_t first, size_t n_rows, void* scratch);
  // The softmax alone: a of row n is written at weights + n * n_keys.
  void (*weights)(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
                  const float* table, size_t first, size_t n_rows, float* weights, void* scratch);
};

}  // namespace bitvit
