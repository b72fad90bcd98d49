#include "bindings/exchange.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <new>

#include "base/start_thread.h"

namespace bitvit {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRuns = 20, kExchanges = 500;
constexpr std::chrono::milliseconds kLongestWait(20);
constexpr int kStop = -1;

struct alignas(64) Line {
  std::atomic<int> turn{0};  // even: the caller's, odd: the partner's
};

using SharedLine = std::shared_ptr<Line>;

void Answer(void* argument) {
  const std::unique_ptr<SharedLine> line(static_cast<SharedLine*>(argument));
  std::atomic<int>& turn = (*line)->turn;
  const Clock::time_point end = Clock::now() + 2 * kRuns * kLongestWait;
  for (int seen = 0; Clock::now() < end;) {
    for (int i = 0; i < kExchanges && seen != kStop; ++i) {
      seen = turn.load(std::memory_order_acquire);
      if (seen % 2 == 1) turn.compare_exchange_strong(seen, seen + 1, std::memory_order_acq_rel);
    }
    if (seen == kStop) return;
  }
}

// False: the partner has not answered in time.
bool Exchange(std::atomic<int>& turn, int count) {
  const Clock::time_point end = Clock::now() + kLongestWait;
  for (int i = 0; i < count; ++i) {
    const int mine = turn.load(std::memory_order_relaxed) + 1;
    turn.store(mine, std::memory_order_release);
    for (int looks = 1; turn.load(std::memory_order_acquire) == mine; ++looks) {
      if (looks % 1024 == 0 && Clock::now() > end) return false;
    }
  }
  return true;
}

}  // namespace

double ExchangeNs() {
  const auto line = std::make_shared<Line>();
  auto partners = std::make_unique<SharedLine>(line);
  double best = std::numeric_limits<double>::quiet_NaN();
  if (!StartThread(&Answer, partners.get())) return best;
  partners.release();
  for (int run = 0; run < kRuns && Exchange(line->turn, 1); ++run) {
    const Clock::time_point start = Clock::now();
    if (!Exchange(line->turn, kExchanges)) break;
    const double ns = std::chrono::duration<double, std::nano>(Clock::now() - start).count() / kExchanges;
    best = run == 0 ? ns : std::min(best, ns);
  }
  line->turn.store(kStop, std::memory_order_release);
  return best;
}

}  // namespace bitvit
