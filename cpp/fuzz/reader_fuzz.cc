// Fuzz target: any bytes are read as a file, or refused in one line of text.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "fuzz/fuzz_input.h"
#include "program/model.h"

namespace {
bitvit::Tally n_read("files_read");
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A block of exactly that size, so that every byte read beyond it is seen.
  const auto copy = std::make_shared<std::vector<uint8_t>>(data, data + size);
  const auto model = bitvit::ReadModel(reinterpret_cast<const std::byte*>(copy->data()), size, copy);
  if (model.ok()) {
    n_read.Count();
    return 0;
  }
  const std::string& message = model.error().message;
  constexpr size_t kLongestMessage = 1000;
  if (message.empty() || message.size() > kLongestMessage) std::abort();
  for (const char c : message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) std::abort();
  }
  return 0;
}
