// SHA-256 (FIPS 180-4), with the processor's own instructions where it has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitvit {

class Sha256 {
 public:
  void Add(const void* data, size_t size);
  void Add(std::string_view text) { Add(text.data(), text.size()); }
  // The digest of all that was added, in hexadecimal. Once, at the end.
  std::string HexDigest();

 private:
  uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint64_t n_bytes_ = 0;
  uint8_t block_[64] = {};  // the last n_bytes_ % 64 bytes
};

}  // namespace bitvit
