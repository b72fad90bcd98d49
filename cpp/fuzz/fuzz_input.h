// What the fuzz targets share: the mutator that libFuzzer calls, and a count for the report.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>

// libFuzzer's own changes of single bytes.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace bitvit {

// How often something happened; printed like libFuzzer's own figures when the process ends.
class Tally {
 public:
  explicit Tally(const char* name) : name_(name) {}
  ~Tally() { std::fprintf(stderr, "stat::%s: %llu\n", name_, count_); }
  Tally(const Tally&) = delete;
  Tally& operator=(const Tally&) = delete;
  void Count() { ++count_; }

 private:
  const char* const name_;
  unsigned long long count_ = 0;
};

}  // namespace bitvit
