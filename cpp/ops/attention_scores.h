// Inputs and packed keys that attention_masks and attention_masks_statistics have in common.
#pragma once

#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

class AttentionScores {
 public:
  // Their part of the declaration, and the check of the table's content.
  static void Declare(OperatorDeclaration& op);
  static Status CheckTable(Operands& operands);

  explicit AttentionScores(const Operands& operands);

  size_t n_heads() const { return n_heads_; }
  size_t n_queries() const { return n_queries_; }
  const AttentionShape& shape() const { return shape_; }
  const float* table() const { return table_.as<float>(); }
  const AttentionMasksKernels& kernels() const { return kernels_; }

  size_t packed_bytes() const { return n_heads_ * head_bytes_; }  // of shared scratch
  const void* packed_keys(const std::byte* shared, size_t head) const { return shared + head * head_bytes_; }
  size_t query_stride() const { return n_heads_ * BitWords(shape_.head_dim); }
  const uint64_t* queries(const RunContext& context, size_t head) const {
    return context.input<uint64_t>(0) + head * BitWords(shape_.head_dim);
  }

  void PackKeys(const RunContext& context) const;

  // Calls work(head, first, n_rows, thread) for parts of all rows of all heads.
  template <typename Work>
  void ForRows(const RunContext& context, const Work& work) const {
    context.Parallel(n_heads_ * n_queries_, 8, [&](size_t begin, size_t end, size_t thread) {
      while (begin < end) {
        const size_t head = begin / n_queries_, first = begin % n_queries_;
        const size_t left = end - begin, of_head = n_queries_ - first;
        const size_t n_rows = left < of_head ? left : of_head;
        work(head, first, n_rows, thread);
        begin += n_rows;
      }
    });
  }

 private:
  const AttentionMasksKernels& kernels_;
  size_t n_heads_, n_queries_, head_bytes_;
  AttentionShape shape_;
  AlignedBuffer table_;
};

}  // namespace bitvit
