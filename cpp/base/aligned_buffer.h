// Memory aligned to a cache line, zero at first unless said otherwise. Copies share it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#if defined(_WIN32)
#include <malloc.h>
#endif

#include "base/red_zones.h"

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

// `size` is a multiple of kAlignment; null: there is not enough memory.
inline std::byte* AllocateAligned(size_t size) {
#if defined(_WIN32)  // whose library does not have what C++17 asks for
  return static_cast<std::byte*>(_aligned_malloc(size, kAlignment));
#else
  return static_cast<std::byte*>(std::aligned_alloc(kAlignment, size));
#endif
}

inline void FreeAligned(std::byte* p) {
#if defined(_WIN32)
  _aligned_free(p);
#else
  std::free(p);
#endif
}

class AlignedBuffer {
 public:
  // Of all buffers of the process together.
  static size_t LiveBytes() { return live_bytes_.load(std::memory_order_relaxed); }

  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size_bytes) {
    if (!Allocate(size_bytes)) OutOfMemory();
  }
  // Not zero: for what is wholly written next. Only what rounding adds to the size is.
  static AlignedBuffer Unset(size_t size_bytes) {
    AlignedBuffer buffer;
    if (!buffer.AllocateUnset(size_bytes)) OutOfMemory();
    FillWithRubbish(buffer.data(), size_bytes);
    return buffer;
  }

  // Replaces what there was; false: there is not enough memory.
  bool Allocate(size_t size_bytes) {
    if (!AllocateUnset(size_bytes)) return false;
    std::memset(data_.get(), 0, size_bytes);
    return true;
  }

  std::byte* data() const { return data_.get(); }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }
  size_t size_bytes() const { return size_; }

 private:
  bool AllocateUnset(size_t size_bytes) {
    size_ = AlignUp(size_bytes == 0 ? 1 : size_bytes);
    std::byte* const data = AllocateAligned(size_);
    if (data == nullptr) return false;
    live_bytes_.fetch_add(size_, std::memory_order_relaxed);
    data_ = std::shared_ptr<std::byte>(data, [size = size_](std::byte* p) {
      live_bytes_.fetch_sub(size, std::memory_order_relaxed);
      FreeAligned(p);
    });
    std::memset(data + size_bytes, 0, size_ - size_bytes);
    Forbid(data + size_bytes, size_ - size_bytes);
    return true;
  }

  inline static std::atomic<size_t> live_bytes_ = 0;

  std::shared_ptr<std::byte> data_;
  size_t size_ = 0;
};

}  // namespace bitvit
