#include "engine/workspace.h"

#include <algorithm>
#include <utility>

#if !defined(BITVIT_SINGLE_THREAD)
#include <chrono>
#include <condition_variable>
#include <mutex>
#endif

#include "base/process_lock.h"
#include "base/red_zones.h"
#include "engine/interrupt.h"

namespace bitvit {

size_t WorkspaceSizes::WorkspaceBytes(size_t n_lanes) const {
  return n_images_together * arena_bytes + shared_scratch_bytes + caller_scratch_bytes + tile_bytes +
         (n_lanes - 1) * (helper_scratch_bytes + tile_bytes);
}

std::unique_ptr<Workspace> Workspace::Make(const WorkspaceSizes& sizes, const std::vector<size_t>& operand_offsets) {
  auto workspace = std::make_unique<Workspace>();
  if (workspace->MakeArenas(1, sizes, operand_offsets) != 1 ||
      !workspace->shared_scratch_.Allocate(sizes.shared_scratch_bytes) || workspace->MakeLanes(1, sizes) != 1) {
    return nullptr;
  }
  FillWithRubbish(workspace->shared_scratch_.data(), sizes.shared_scratch_bytes);
  return workspace;
}

size_t Workspace::MakeArenas(size_t n_images, const WorkspaceSizes& sizes, const std::vector<size_t>& operand_offsets) {
  while (arenas_.size() < n_images) {
    Arena arena;
    if (!arena.buffer.Allocate(sizes.arena_bytes)) break;
    FillWithRubbish(arena.buffer.data(), sizes.arena_bytes);
    for (const size_t offset : operand_offsets) arena.operands.push_back(arena.buffer.data() + offset);
    arenas_.push_back(std::move(arena));
  }
  return std::min(n_images, arenas_.size());
}

size_t Workspace::MakeLanes(size_t n_lanes, const WorkspaceSizes& sizes) {
  while (lanes_.size() < n_lanes) {
    auto lane = std::make_unique<Lane>();
    const size_t scratch_bytes = lanes_.empty() ? sizes.caller_scratch_bytes : sizes.helper_scratch_bytes;
    if (!lane->scratch.Allocate(scratch_bytes) || !lane->tile.Allocate(sizes.tile_bytes)) break;
    FillWithRubbish(lane->scratch.data(), scratch_bytes);
    FillWithRubbish(lane->tile.data(), sizes.tile_bytes);
    lane->tile_operands.resize(sizes.n_tile_operands);
    scratch_.push_back(lane->scratch.data());
    lanes_.push_back(std::move(lane));
  }
  return std::min(n_lanes, lanes_.size());
}

// Calls that wait for a workspace. Shared with them, so that it may end after the engine.
struct WorkspacePool::Waiting {
#if !defined(BITVIT_SINGLE_THREAD)
  std::mutex mutex;
  std::condition_variable given_back;
  size_t n_given_back = 0;
#endif
};

WorkspacePool::WorkspacePool(WorkspaceSizes sizes, std::vector<size_t> operand_offsets, size_t n_processors,
                             size_t n_lanes)
    : sizes_(sizes),
      operand_offsets_(std::move(operand_offsets)),
      most_(std::clamp<size_t>(kMostBytes / std::max<size_t>(1, sizes.WorkspaceBytes(n_lanes)), 1, 2 * n_processors)),
      generation_(ForkGeneration()),
      waiting_(std::make_shared<Waiting>()) {}

WorkspacePool::~WorkspacePool() = default;

size_t WorkspacePool::n_made() const {
  const ProcessLock lock;
  return n_made_;
}

// Under ProcessLock. Calls of the parent process do not give back what they have, nor do they unlock what they locked.
void WorkspacePool::ForgetBeforeFork() {
  if (generation_ == ForkGeneration()) return;
  generation_ = ForkGeneration();
  n_made_ = free_.size();
  new std::shared_ptr<Waiting>(std::move(waiting_));
  waiting_ = std::make_shared<Waiting>();
}

WorkspacePool::Lease WorkspacePool::BorrowAtOnce(bool beyond_most) {
  std::unique_ptr<Workspace> workspace;
  {
    const ProcessLock lock;
    ForgetBeforeFork();
    if (!free_.empty()) {
      workspace = std::move(free_.back());
      free_.pop_back();
    } else if (n_made_ < most_ || beyond_most) {
      ++n_made_;
    } else {
      return {};
    }
  }
  if (workspace == nullptr) workspace = Workspace::Make(sizes_, operand_offsets_);
  if (workspace == nullptr) {
    const ProcessLock lock;
    --n_made_;
    return {};
  }
  return {this, std::move(workspace), ForkGeneration()};
}

#if defined(BITVIT_SINGLE_THREAD)

WorkspacePool::Lease WorkspacePool::Borrow(Interrupt&, bool) { return BorrowAtOnce(true); }

#else

WorkspacePool::Lease WorkspacePool::Borrow(Interrupt& interrupt, bool is_nested) {
  while (true) {
    std::shared_ptr<Waiting> waiting;
    {
      const ProcessLock lock;
      ForgetBeforeFork();
      waiting = waiting_;
    }
    size_t n_seen;
    {
      const std::lock_guard<std::mutex> lock(waiting->mutex);
      n_seen = waiting->n_given_back;
    }
    Lease lease = BorrowAtOnce(is_nested);
    if (lease) return lease;
    if (n_made() == 0) return {};  // there is none to wait for
    {
      std::unique_lock<std::mutex> lock(waiting->mutex);
      waiting->given_back.wait_for(lock, std::chrono::milliseconds(20),
                                   [&] { return waiting->n_given_back != n_seen; });
    }
    if (interrupt.AskIfDue()) return {};
  }
}

#endif

void WorkspacePool::GiveBack(std::unique_ptr<Workspace> workspace, size_t generation) {
  std::shared_ptr<Waiting> waiting;
  {
    const ProcessLock lock;
    ForgetBeforeFork();
    if (generation != generation_) {
      // Borrowed before a fork: it is not counted any more.
    } else if (n_made_ > most_) {
      --n_made_;
    } else {
      free_.push_back(std::move(workspace));
    }
    waiting = waiting_;
  }
#if !defined(BITVIT_SINGLE_THREAD)
  {
    const std::lock_guard<std::mutex> lock(waiting->mutex);
    ++waiting->n_given_back;
  }
  waiting->given_back.notify_one();
#endif
}

WorkspacePool::Lease::~Lease() {
  if (workspace_ != nullptr) pool_->GiveBack(std::move(workspace_), generation_);
}

}  // namespace bitvit
