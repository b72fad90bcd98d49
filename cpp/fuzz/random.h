// Random choices of the fuzzer, reproducible from a seed.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace bitvit {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {  // splitmix64
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // Less than n, which is at least 1.
  uint64_t Below(uint64_t n) { return Next() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  template <typename T>
  T Of(std::initializer_list<T> choices) {
    return choices.begin()[Below(choices.size())];
  }
  template <typename T>
  const T& Of(const std::vector<T>& choices) {
    return choices[Below(choices.size())];
  }
  // From -2 to 2, a multiple of 1/64: sums of them are exact.
  float Small() { return static_cast<float>(static_cast<int64_t>(Below(257)) - 128) / 64; }

 private:
  uint64_t state_;
};

}  // namespace bitvit
