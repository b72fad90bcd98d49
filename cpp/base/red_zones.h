// Red zones for the fuzzer (cpp/fuzz): with BITVIT_RED_ZONES, which needs AddressSanitizer, values share no memory,
// what lies between them may not be touched, and an operator may touch its own operands and scratch only.
#pragma once

#include <cstddef>
#include <cstring>

#if defined(BITVIT_RED_ZONES)
#include <sanitizer/asan_interface.h>
#endif

namespace bitvit {

#if defined(BITVIT_RED_ZONES)
inline constexpr bool kRedZones = true;
inline void Forbid(const std::byte* data, size_t size) { __asan_poison_memory_region(data, size); }
inline void Permit(const std::byte* data, size_t size) { __asan_unpoison_memory_region(data, size); }
#else
inline constexpr bool kRedZones = false;
inline void Forbid(const std::byte*, size_t) {}
inline void Permit(const std::byte*, size_t) {}
#endif

inline constexpr size_t kRedZoneBytes = 128;

// What is undefined at the start of a run should not look like zeros.
inline void FillWithRubbish(std::byte* data, size_t size) {
  if constexpr (kRedZones) std::memset(data, 0xcb, size);
}

}  // namespace bitvit
