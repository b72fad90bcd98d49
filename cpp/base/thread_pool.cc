#include "base/thread_pool.h"

#if defined(BITVIT_SINGLE_THREAD)

namespace bitvit {

HelperCounts PrepareHelpers(size_t) { return {1, 0, 0, 0}; }
bool HelpersAreFree() { return false; }
Team::Team(size_t n_lanes, size_t n_parts) : n_lanes_(n_lanes), n_parts_(n_parts) {}
Team::~Team() = default;
bool Team::HasHelp() { return false; }
void Team::Run(size_t n_pieces, size_t, Task task, void* context) {
  for (size_t first = 0; first < n_pieces; ++first) task(context, first, first + 1, 0);
}

}  // namespace bitvit

#else

#include <algorithm>
#include <atomic>
#include <bitset>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/float_environment.h"
#include "base/process_lock.h"
#include "base/processors.h"
#include "base/start_thread.h"

namespace bitvit {
namespace {

constexpr size_t kMostHelpers = 255;
constexpr int kPauses = 32;                // between two looks at the clock
constexpr int64_t kPoliteNs = 5'000;       // after which a waiting thread offers its processor to others
constexpr int64_t kSpinNs = 50'000;        // after which a helper sleeps: longer than most serial work of an operator
constexpr int64_t kCallerSpinNs = 20'000;  // after which a caller sleeps, so that its processor can take the helper
constexpr int64_t kStallNs = 200'000;      // no thread that runs makes a caller wait that long at the end
constexpr int64_t kRestPerStall = 8;

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Waiting that costs others little: pauses, then yields, then Wait() says that it is time to sleep.
class Spinner {
 public:
  explicit Spinner(int64_t limit_ns) : limit_ns_(limit_ns) {}
  void Reset() { start_ns_ = 0; }
  bool Wait() {
    for (int i = 0; i < kPauses; ++i) Pause();
    const int64_t now = NowNs();
    if (start_ns_ == 0) start_ns_ = now;
    if (now - start_ns_ > limit_ns_) return false;
    if (now - start_ns_ > kPoliteNs) std::this_thread::yield();
    return true;
  }

 private:
  const int64_t limit_ns_;
  int64_t start_ns_ = 0;
};

// The state of a team in one word, so that a claim is one atomic step: which opening of the team (38 bits), the first
// and the end of the pieces that are left (13 bits each). Openings do not repeat within years.
constexpr int kPieceBits = 13;
constexpr uint64_t kPieceMask = (uint64_t{1} << kPieceBits) - 1;
static_assert(Team::kMostPieces <= kPieceMask);

uint64_t PackState(uint64_t epoch, size_t n_pieces) { return epoch << (2 * kPieceBits) | n_pieces; }
uint64_t EpochOf(uint64_t state) { return state >> (2 * kPieceBits); }
size_t NextOf(uint64_t state) { return static_cast<size_t>(state >> kPieceBits & kPieceMask); }
size_t EndOf(uint64_t state) { return static_cast<size_t>(state & kPieceMask); }

// Claims the next pieces, or the last ones; false if there are none, or the team is not that of `epoch` any more.
// Whoever has claimed pieces may read the task: it changes only after all pieces are done. A caller works from the
// front and helpers from the back, so that from one task to the next each mostly finds in its cache what it has written
// itself.
bool Claim(std::atomic<uint64_t>& state, uint64_t epoch, size_t n_parts, size_t most, bool from_back, size_t* first,
           size_t* end) {
  uint64_t seen = state.load(std::memory_order_acquire);
  while (EpochOf(seen) == epoch && NextOf(seen) < EndOf(seen)) {
    const size_t take = std::min(most, PiecesToTake(EndOf(seen) - NextOf(seen), n_parts));
    const uint64_t claimed = from_back ? seen - take : seen + (static_cast<uint64_t>(take) << kPieceBits);
    if (!state.compare_exchange_weak(seen, claimed, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    *first = from_back ? EndOf(seen) - take : NextOf(seen);
    *end = *first + take;
    return true;
  }
  return false;
}

}  // namespace

// Never freed, so that a helper that comes late may still look at it.
struct TeamState {
  alignas(64) std::atomic<uint64_t> state{0};
  alignas(64) std::atomic<size_t> n_done{0};  // by helpers
  std::atomic<bool> is_caller_asleep{false};
  std::atomic<size_t> most{1};
  std::atomic<size_t> n_members{0};
  std::mutex mutex;
  std::condition_variable done;
  Team::Task task = nullptr;
  void* context = nullptr;
  std::bitset<kMostHelpers + 1> lanes;  // in use; under ProcessLock
};

namespace {

struct Order {
  TeamState* team;
  uint64_t epoch;
  size_t lane, n_parts;
};

}  // namespace

// All helpers of the process. Its lists change under ProcessLock.
struct HelperPool {
  struct Helper {
    HelperPool* pool;
    Order order = {};
    std::atomic<bool> is_ordered{false}, is_asleep{false};
    std::mutex mutex;
    std::condition_variable wake;
  };

  std::vector<Helper*> idle;
  std::vector<TeamState*> idle_teams;
  std::atomic<size_t> n_processors{1}, n_helpers{0}, n_refused{0};
  std::atomic<size_t> n_callers{0}, n_idle{0}, n_out{0};
  std::atomic<int64_t> alone_until_ns{0};

  bool MayCall(size_t n_callers_now) const {
    return n_idle.load(std::memory_order_relaxed) != 0 && n_callers_now + n_out.load() < n_processors.load() &&
           NowNs() >= alone_until_ns.load(std::memory_order_relaxed);
  }
  bool IsFull() const { return n_callers.load() + n_out.load() > n_processors.load(); }

  static HelperPool& OfThisProcess();
  void Grow(size_t n_wanted);
  size_t Call(TeamState& team, uint64_t epoch, size_t n_wanted, size_t n_parts);
  static void Live(void* helper);
  void Serve(const Order& order, Spinner& spinner);
  void Return(Helper& helper);
};

namespace {
std::atomic<HelperPool*> the_pool{nullptr};
std::atomic<size_t> pool_generation{0};
}  // namespace

HelperPool& HelperPool::OfThisProcess() {
  HelperPool* pool = the_pool.load(std::memory_order_acquire);
  if (pool != nullptr && pool_generation.load(std::memory_order_relaxed) == ForkGeneration()) return *pool;
  const size_t n_processors = UsableProcessors();
  const ProcessLock lock;
  pool = the_pool.load(std::memory_order_acquire);
  if (pool == nullptr || pool_generation.load(std::memory_order_relaxed) != ForkGeneration()) {
    pool = new HelperPool;  // that of the parent process is left alone: its threads are not here
    pool->n_processors = n_processors;
    pool_generation.store(ForkGeneration(), std::memory_order_relaxed);
    the_pool.store(pool, std::memory_order_release);
  }
  return *pool;
}

// Under ProcessLock.
void HelperPool::Grow(size_t n_wanted) {
  n_wanted = std::min({n_wanted, n_processors.load() - 1, kMostHelpers});
  idle.reserve(n_wanted);
  while (n_helpers.load() + n_refused.load() < n_wanted) {
    auto helper = std::make_unique<Helper>();
    helper->pool = this;
    if (!StartThread(&HelperPool::Live, helper.get())) {
      n_refused.store(n_wanted - n_helpers.load());
      return;
    }
    ++n_helpers;
    ++n_out;  // comes back from its start by itself
    helper.release();
  }
}

// Calls up to n_wanted idle helpers to the team; returns how many. Those that were at work last come first: they may
// still be awake.
size_t HelperPool::Call(TeamState& team, uint64_t epoch, size_t n_wanted, size_t n_parts) {
  Helper* called[kMostHelpers];
  size_t n_called = 0;
  {
    const ProcessLock lock;
    size_t lane = 1;
    while (n_called < n_wanted && !idle.empty() && n_callers.load() + n_out.load() < n_processors.load()) {
      while (team.lanes[lane]) ++lane;
      Helper* const helper = idle.back();
      idle.pop_back();
      --n_idle;
      ++n_out;
      team.lanes[lane] = true;
      ++team.n_members;
      helper->order = {&team, epoch, lane, n_parts};
      called[n_called++] = helper;
    }
  }
  for (size_t i = 0; i < n_called; ++i) {
    Helper& helper = *called[i];
    helper.is_ordered.store(true);
    if (helper.is_asleep.load()) {
      {
        const std::lock_guard<std::mutex> lock(helper.mutex);
      }
      helper.wake.notify_one();
    }
  }
  return n_called;
}

void HelperPool::Return(Helper& helper) {
  const ProcessLock lock;
  TeamState* const team = helper.order.team;
  if (team != nullptr && EpochOf(team->state.load()) == helper.order.epoch) {
    team->lanes[helper.order.lane] = false;
    --team->n_members;
  }
  idle.push_back(&helper);
  ++n_idle;
  --n_out;
}

void HelperPool::Live(void* argument) {
  Helper& helper = *static_cast<Helper*>(argument);
  HelperPool& pool = *helper.pool;
  const FloatEnvironment ieee;
  Spinner spinner(kSpinNs);
  while (true) {
    pool.Return(helper);
    while (!helper.is_ordered.load(std::memory_order_acquire)) {
      if (spinner.Wait()) continue;
      std::unique_lock<std::mutex> lock(helper.mutex);
      helper.is_asleep.store(true);
      helper.wake.wait(lock, [&] { return helper.is_ordered.load(); });
      helper.is_asleep.store(false);
      spinner.Reset();
    }
    helper.is_ordered.store(false);
    pool.Serve(helper.order, spinner);
  }
}

void HelperPool::Serve(const Order& order, Spinner& spinner) {
  TeamState& team = *order.team;
  while (!IsFull()) {
    const uint64_t seen = team.state.load(std::memory_order_acquire);
    if (EpochOf(seen) != order.epoch) return;
    size_t first, end;
    if (!Claim(team.state, order.epoch, order.n_parts, team.most.load(std::memory_order_relaxed), true, &first, &end)) {
      if (!spinner.Wait()) return;
      continue;
    }
    team.task(team.context, first, end, order.lane);
    team.n_done.fetch_add(end - first);
    if (team.is_caller_asleep.load()) {
      {
        const std::lock_guard<std::mutex> lock(team.mutex);
      }
      team.done.notify_one();
    }
    spinner.Reset();
  }
}

HelperCounts PrepareHelpers(size_t n_threads) {
  const size_t n_processors = UsableProcessors();
  HelperPool& pool = HelperPool::OfThisProcess();
  const ProcessLock lock;
  pool.n_processors = n_processors;
  if (n_threads > 1) pool.Grow(n_threads - 1);
  return {n_processors, pool.n_helpers, pool.n_refused, pool.n_callers};
}

bool HelpersAreFree() {
  const HelperPool& pool = HelperPool::OfThisProcess();
  return pool.MayCall(pool.n_callers.load() + 1);
}

Team::Team(size_t n_lanes, size_t n_parts)
    : n_lanes_(std::min(n_lanes, kMostHelpers + 1)),
      n_parts_(n_parts),
      pool_(&HelperPool::OfThisProcess()),
      generation_(ForkGeneration()) {
  ++pool_->n_callers;
  if (n_lanes_ == 1) return;
  const ProcessLock lock;
  pool_->Grow(n_lanes_ - 1);  // after a fork there are none yet
  if (pool_->idle_teams.empty()) {
    state_ = new TeamState;
  } else {
    state_ = pool_->idle_teams.back();
    pool_->idle_teams.pop_back();
  }
  epoch_ = EpochOf(state_->state.load());
}

Team::~Team() {
  if (state_ != nullptr) {
    Dismiss();
    const ProcessLock lock;
    pool_->idle_teams.push_back(state_);
  }
  --pool_->n_callers;
}

// Helpers that have claimed nothing find the team closed.
void Team::Dismiss() {
  const ProcessLock lock;
  state_->state.store(PackState(++epoch_, 0));
  state_->n_members = 0;
  state_->lanes.reset();
}

bool Team::HasHelp() {
  if (state_ == nullptr) return false;
  const size_t n_members = state_->n_members.load(std::memory_order_relaxed);
  if (n_members + 1 >= n_lanes_) return true;
  const bool may_call = pool_->MayCall(pool_->n_callers.load());
  const size_t n_called = may_call ? pool_->Call(*state_, epoch_, n_lanes_ - 1 - n_members, n_parts_) : 0;
  return n_members + n_called != 0;
}

void Team::Run(size_t n_pieces, size_t most, Task task, void* context) {
  if (n_pieces <= 1 || !HasHelp()) {
    const size_t part = std::min(most, std::max<size_t>(1, n_pieces / n_parts_));
    for (size_t first = 0; first < n_pieces; first += part) {
      task(context, first, std::min(first + part, n_pieces), 0);
    }
    return;
  }
  TeamState& team = *state_;
  team.task = task;
  team.context = context;
  team.most.store(most, std::memory_order_relaxed);
  team.n_done.store(0, std::memory_order_relaxed);
  team.state.store(PackState(epoch_, n_pieces), std::memory_order_release);
  const int64_t start = NowNs();
  size_t n_own = 0, n_claims = 0;
  for (size_t first, end; Claim(team.state, epoch_, n_parts_, most, false, &first, &end); ++n_claims) {
    task(context, first, end, 0);
    n_own += end - first;
  }
  if (generation_ != ForkGeneration()) return;  // forked in the task: the others are not in this process
  const auto is_done = [&] { return team.n_done.load() + n_own == n_pieces; };
  if (is_done()) return;
  const int64_t end_of_own = NowNs();
  while (!is_done() && NowNs() - end_of_own < kCallerSpinNs) Pause();
  if (is_done()) return;
  {
    std::unique_lock<std::mutex> lock(team.mutex);
    team.is_caller_asleep.store(true);
    team.done.wait(lock, is_done);
    team.is_caller_asleep.store(false);
  }
  // A helper that runs needs for its last pieces about as long as the caller does.
  const int64_t now = NowNs(), waited = now - end_of_own;
  const int64_t usual = n_claims == 0 ? 0 : (end_of_own - start) / static_cast<int64_t>(n_claims);
  if (waited < kStallNs + 2 * usual) return;
  pool_->alone_until_ns.store(now + kRestPerStall * waited, std::memory_order_relaxed);
  Dismiss();
}

}  // namespace bitvit

#endif
