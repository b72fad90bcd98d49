// libFuzzer's entry to fuzz/mutator.h.
#include <cstring>

#include "fuzz/fuzz_input.h"
#include "fuzz/mutator.h"

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  constexpr unsigned kRawOneIn = 12;
  if (seed % kRawOneIn == 0) return LLVMFuzzerMutate(data, size, max_size);
  std::optional<bitvit::Parts> parts = bitvit::Split(data, size);
  if (!parts.has_value()) return LLVMFuzzerMutate(data, size, max_size);
  bitvit::Mutate(*parts, seed);
  const std::string file = bitvit::Join(*std::move(parts));
  if (file.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, file.data(), file.size());
  return file.size();
}
