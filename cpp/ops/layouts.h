// Parameters as the kernels want them. A tensor that several operators use in one way is laid out once.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/aligned_buffer.h"
#include "ops/spec.h"

namespace bitvit {

// What decides on the layout of a parameter: the tensor, the operator's kind and attributes, and the width of its first
// input. Equal keys are one layout; the limit on parameters counts each key once (program/validation.cc).
std::string LayoutKey(const OperatorSpec& spec, std::string_view parameter);

// The layouts of an engine that is being built.
class Layouts {
 public:
  // That of the key, made by `make` the first time.
  template <typename Make>
  AlignedBuffer Get(std::string key, const Make& make) {
    const auto found = layouts_.find(key);
    if (found != layouts_.end()) return found->second;
    return layouts_.emplace(std::move(key), make()).first->second;
  }

  // At least that many bytes for what is needed while one operator is made; the same memory for the next.
  AlignedBuffer Scratch(size_t n_bytes) {
    // Rounded up as `size_bytes` is: with red zones, what rounding adds to a buffer may not be touched.
    if (scratch_.size_bytes() < n_bytes) scratch_ = AlignedBuffer(AlignUp(n_bytes));
    return scratch_;
  }

 private:
  std::map<std::string, AlignedBuffer> layouts_;
  AlignedBuffer scratch_;
};

}  // namespace bitvit
