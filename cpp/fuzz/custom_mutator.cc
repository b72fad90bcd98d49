// libFuzzer's entry to fuzz/mutator.h.
#include <cstring>
#include <iterator>
#include <string>

#include "fuzz/fuzz_input.h"
#include "fuzz/mutator.h"

// Of single bytes, behind a checksum that stays right.
static void MutateText(std::string& text) {
  const size_t size = text.size(), largest = size + 64;
  text.resize(largest);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(text.data()), size, largest));
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  constexpr unsigned kRawOneIn = 12;
  if (seed % kRawOneIn == 0) return LLVMFuzzerMutate(data, size, max_size);
  bitvit::ForgetMutation();  // the one before
  std::optional<bitvit::Parts> parts = bitvit::Split(data, size);
  if (!parts.has_value()) return LLVMFuzzerMutate(data, size, max_size);
  constexpr unsigned kTextOneIn = 4;
  if (seed % kTextOneIn == 1 && !parts->metadata.empty()) {
    MutateText(std::next(parts->metadata.begin(), seed / kTextOneIn % parts->metadata.size())->second);
  } else {
    bitvit::Mutate(*parts, seed);
  }
  const std::string file = bitvit::Join(*std::move(parts));
  if (file.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, file.data(), file.size());
  return file.size();
}
