// The mutator's JSON. Its memory is given back all at once, because single blocks are dear under AddressSanitizer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace bitvit {

class Arena {
 public:
  static Arena& Instance() {
    static Arena arena;
    return arena;
  }
  void* Take(size_t n_bytes) {
    n_bytes = (n_bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (used_ + n_bytes > size_) {
      size_ = std::max(n_bytes, kBlockBytes);
      used_ = 0;
      blocks_.emplace_back(new std::byte[size_]);
    }
    void* const place = blocks_.back().get() + used_;
    used_ += n_bytes;
    return place;
  }
  // Nothing that was taken may be used from now on.
  void Clear() {
    if (blocks_.empty()) return;
    blocks_.resize(1);
    size_ = kBlockBytes;
    used_ = 0;
  }

 private:
  static constexpr size_t kAlignment = alignof(std::max_align_t), kBlockBytes = size_t{1} << 22;
  std::vector<std::unique_ptr<std::byte[]>> blocks_;
  size_t size_ = 0, used_ = 0;
};

template <typename T>
struct ArenaAllocator {
  using value_type = T;
  ArenaAllocator() = default;
  template <typename U>
  ArenaAllocator(const ArenaAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(Arena::Instance().Take(n * sizeof(T))); }
  void deallocate(T*, size_t) {}
  template <typename U>
  bool operator==(const ArenaAllocator<U>&) const {
    return true;
  }
  template <typename U>
  bool operator!=(const ArenaAllocator<U>&) const {
    return false;
  }
};

using ArenaJson =
    nlohmann::basic_json<std::map, std::vector, std::string, bool, int64_t, uint64_t, double, ArenaAllocator>;

}  // namespace bitvit
