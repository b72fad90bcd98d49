// Lets a caller end a run early: asked between images, stages and tiles, but not more often than every few
// milliseconds, because asking may be slow (the bindings take Python's lock for it).
#pragma once

#include <chrono>
#include <cstdint>

namespace bitvit {

class Interrupt {
 public:
  // An exception would unwind the caller of a run while helpers still work on it: none may leave.
  using Ask = bool (*)(void* context) noexcept;

  Interrupt() = default;
  explicit Interrupt(Ask ask, void* context = nullptr) : ask_(ask), context_(context) {}

  // True from the first time on that the answer was yes. For the calling thread of a run only.
  bool IsRequested() {
    if (is_requested_ || ask_ == nullptr) return is_requested_;
    if (++n_calls_ % kCallsPerLook != 0) return false;
    return AskIfDue();
  }

  // The same, without counting calls: where time has passed.
  bool AskIfDue() {
    if (is_requested_ || ask_ == nullptr) return is_requested_;
    const Clock::time_point now = Clock::now();
    if (now < next_) return false;
    is_requested_ = ask_(context_);
    next_ = Clock::now() + kInterval;
    return is_requested_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kInterval{20};
  static constexpr uint32_t kCallsPerLook = 8;  // a look at the clock costs as much as a small operator's start

  Ask ask_ = nullptr;
  void* context_ = nullptr;
  bool is_requested_ = false;
  uint32_t n_calls_ = 0;
  Clock::time_point next_ = Clock::now() + kInterval;
};

}  // namespace bitvit
