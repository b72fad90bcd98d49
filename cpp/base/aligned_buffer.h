// Zero-initialized memory aligned to a cache line.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace bitvit {

inline constexpr size_t kAlignment = 64;

inline constexpr size_t AlignUp(size_t n, size_t alignment = kAlignment) {
  return (n + alignment - 1) / alignment * alignment;
}

// What `new` does: an exception where there are any (the bindings report it), else the end.
[[noreturn]] inline void OutOfMemory() {
#if defined(__cpp_exceptions)
  throw std::bad_alloc();
#else
  std::abort();
#endif
}

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size_bytes) {
    if (!Allocate(size_bytes)) OutOfMemory();
  }

  // Replaces what there was; false: there is not enough memory.
  bool Allocate(size_t size_bytes) {
    size_ = AlignUp(size_bytes == 0 ? 1 : size_bytes);
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, size_)));
    if (data_ == nullptr) return false;
    std::memset(data_.get(), 0, size_);
    return true;
  }

  std::byte* data() const { return data_.get(); }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }
  size_t size_bytes() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

}  // namespace bitvit
