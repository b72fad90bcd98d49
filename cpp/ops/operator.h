// What the engine runs: one operator of a Program, checked, with its parameters laid out for the kernels of this
// machine.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/grid/grid.h"
#include "kernels/pointwise/pointwise.h"

namespace bitvit {

// Some of the rows of an operator's output, no more than 1 / n_parts of them (engine/row_groups.h).
struct RowRange {
  size_t begin, end, n_rows, n_parts;
};

// Where one run of an operator finds its values and its helpers. Cheap to make; no allocation.
class RunContext {
 public:
  // team nullptr: all of it on this thread, which finds its scratch at thread_scratch[0].
  RunContext(std::byte* const* inputs, std::byte* const* outputs, std::byte* shared_scratch,
             std::byte* const* thread_scratch, Team* team)
      : inputs_(inputs),
        outputs_(outputs),
        shared_scratch_(shared_scratch),
        thread_scratch_(thread_scratch),
        team_(team) {}

  // For the rows of `range` only, on this thread, which finds its scratch at thread_scratch[0].
  RunContext(std::byte* const* inputs, std::byte* const* outputs, std::byte* const* thread_scratch, RowRange range)
      : inputs_(inputs), outputs_(outputs), thread_scratch_(thread_scratch), range_(range) {}

  template <typename T>
  const T* input(size_t i) const {
    return reinterpret_cast<const T*>(inputs_[i]);
  }
  template <typename T>
  T* output(size_t i) const {
    return reinterpret_cast<T*>(outputs_[i]);
  }
  // Operator::shared_scratch_bytes() bytes, the same for all threads; Operator::thread_scratch_bytes() bytes of one
  // thread. Aligned to 64 bytes, contents undefined at the start of a run.
  template <typename T>
  T* shared_scratch() const {
    return reinterpret_cast<T*>(shared_scratch_);
  }
  void* thread_scratch(size_t thread) const { return thread_scratch_[thread]; }

  // No part of the rows is larger than 1 / n_parts() of all of them.
  size_t n_parts() const { return range_.n_rows != 0 ? range_.n_parts : team_ == nullptr ? 1 : team_->n_parts(); }

  // Calls work(begin, end, thread) for the parts of 0..n-1 on the threads of the team, each of which claims the next
  // part when it has done one, and returns when all are done. Parts begin at multiples of `grain`. What a part computes
  // must not depend on how the whole is cut. Where only a range of rows is wanted, it gets the same range of 0..n-1, n
  // being a multiple of the number of rows.
  template <typename Work>
  void Parallel(size_t n, size_t grain, const Work& work) const {
    if (range_.n_rows != 0) {
      work(n / range_.n_rows * range_.begin, n / range_.n_rows * range_.end, size_t{0});
      return;
    }
    const size_t n_grains = (n + grain - 1) / grain;
    if (team_ == nullptr || n_grains <= 1) {
      if (n != 0) work(size_t{0}, n, size_t{0});
      return;
    }
    struct Job {
      const Work& work;
      size_t n, piece;
    } job = {work, n, grain * ((n_grains + Team::kMostPieces - 1) / Team::kMostPieces)};
    const size_t n_pieces = (n + job.piece - 1) / job.piece;
    team_->Run(
        n_pieces, n_pieces,
        [](void* context, size_t first, size_t end, size_t lane) noexcept {
          const Job& j = *static_cast<const Job*>(context);
          const size_t last = end * j.piece;
          j.work(first * j.piece, last < j.n ? last : j.n, lane);
        },
        &job);
  }

 private:
  std::byte* const* inputs_;
  std::byte* const* outputs_;
  std::byte* shared_scratch_ = nullptr;
  std::byte* const* thread_scratch_;
  Team* team_ = nullptr;
  RowRange range_ = {};
};

// Operators that follow a product y [N,O] and can be computed with it (kernels/binary_gemm, BinaryExpansion): a sum
// with channels that repeat, rprelu, sign and the means of `group` neighbouring channels.
struct Expansion {
  size_t other_width, group;
  const float* rprelu[3];
  const float* threshold;
};

class Operator {
 public:
  virtual ~Operator() = default;
  virtual size_t shared_scratch_bytes() const { return 0; }
  // For one thread, where no part of the rows is larger than 1 / n_parts of them.
  virtual size_t thread_scratch_bytes(size_t n_parts) const {
    (void)n_parts;
    return 0;
  }
  virtual void Run(const RunContext& context) const = 0;
  // Whether the operator is one of those of kernels/pointwise/pointwise.h; then its kind and parameters, and a constant
  // `other`.
  virtual bool IsPointwise(PointwiseLink* link) const {
    (void)link;
    return false;
  }
  // Of how many neighbouring channels each output is the mean; 0: it is something else.
  virtual size_t mean_group() const { return 0; }
  virtual const Stencil* stencil() const { return nullptr; }
  // These take over what follows, where that is possible (engine/fusions.h). From then on Run reads x and `other` and
  // writes bits and means;
  virtual bool Expand(const Expansion& expansion) {
    (void)expansion;
    return false;
  }
  // or Run reads x and writes the sum of stencils of x, of which this operator's is the first;
  virtual bool SumStencils(const std::vector<StencilTerm>& terms) {
    (void)terms;
    return false;
  }
  // or Run reads x and another summand and writes y + other;
  virtual bool Add() { return false; }
  // or Run reads x and, where there is a sum, the other summand, and writes y * scale + bias or its sum.
  virtual bool EndWith(const PointwiseLink& affine, bool has_sum) {
    (void)affine;
    (void)has_sum;
    return false;
  }
};

}  // namespace bitvit
