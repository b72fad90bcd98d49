// Whether threads that work on one image together are faster than one alone. That depends on the network (steps of a
// microsecond are not worth sharing) and on how busy the machine is, so it is measured: now and then a run takes the
// way that seemed slower.
#pragma once

#include <atomic>
#include <cstdint>

namespace bitvit {

class Sharing {
 public:
  // Whether to share the next image. Any thread may call it.
  bool Choose() {
    const uint32_t turn = n_turns_.fetch_add(1, std::memory_order_relaxed);
    if (turn < kFirstTurns) return turn % 2 != 0;
    const bool is_faster = shared_ns_.load(std::memory_order_relaxed) < alone_ns_.load(std::memory_order_relaxed);
    return turn % kTurnsPerTrial == 0 ? !is_faster : is_faster;
  }

  // A faster time counts at once, a slower one by an eighth: others' work makes times longer, never shorter.
  void Record(bool is_shared, int64_t ns) {
    std::atomic<int64_t>& known = is_shared ? shared_ns_ : alone_ns_;
    const int64_t before = known.load(std::memory_order_relaxed);
    known.store(before == 0 || ns < before ? ns : before + (ns - before) / 8, std::memory_order_relaxed);
  }

 private:
  static constexpr uint32_t kFirstTurns = 6, kTurnsPerTrial = 32;
  std::atomic<uint32_t> n_turns_{0};
  std::atomic<int64_t> alone_ns_{0}, shared_ns_{0};
};

}  // namespace bitvit
