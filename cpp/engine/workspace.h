// Memory for the images that are computed together, and the workspaces of an engine: one for each call that runs.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/aligned_buffer.h"

namespace bitvit {

struct WorkspaceSizes {
  size_t arena_bytes = 0;        // for one image
  size_t n_images_together = 1;  // at most
  size_t shared_scratch_bytes = 0;
  // Of the caller's lane, which may have to do all rows at once, and of a helper's.
  size_t caller_scratch_bytes = 0, helper_scratch_bytes = 0;
  size_t tile_bytes = 0, n_tile_operands = 0;

  size_t WorkspaceBytes(size_t n_lanes) const;
};

// What one thread needs for itself: scratch, local values of its tile, and the operands of a group's steps.
struct Lane {
  AlignedBuffer scratch, tile;
  std::vector<std::byte*> tile_operands;
};

// The values of one image.
struct Arena {
  AlignedBuffer buffer;
  std::vector<std::byte*> operands;  // inputs, then outputs, of each step in turn
};

class Workspace {
 public:
  // nullptr: there is not enough memory.
  static std::unique_ptr<Workspace> Make(const WorkspaceSizes& sizes, const std::vector<size_t>& operand_offsets);

  // Makes memory for up to n_lanes threads; returns for how many there is some.
  size_t MakeLanes(size_t n_lanes, const WorkspaceSizes& sizes);
  // The same for images.
  size_t MakeArenas(size_t n_images, const WorkspaceSizes& sizes, const std::vector<size_t>& operand_offsets);

  std::byte* arena(size_t image) const { return arenas_[image].buffer.data(); }
  std::byte* shared_scratch() const { return shared_scratch_.data(); }
  size_t shared_scratch_bytes() const { return shared_scratch_.size_bytes(); }
  std::byte* const* operands(size_t image) const { return arenas_[image].operands.data(); }
  Lane& lane(size_t i) { return *lanes_[i]; }
  size_t n_lanes() const { return lanes_.size(); }
  std::byte* const* thread_scratch() const { return scratch_.data(); }  // of each lane

 private:
  std::vector<Arena> arenas_;
  AlignedBuffer shared_scratch_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::byte*> scratch_;
};

class Interrupt;

// The workspaces of an engine. A call borrows one for as long as it runs. There are at most `most`, two for each
// processor, fewer where they would take more than kMostBytes together; further calls wait until one is free. Those
// that were made are kept.
class WorkspacePool {
 public:
  static constexpr size_t kMostBytes = size_t{1} << 29;

  WorkspacePool(WorkspaceSizes sizes, std::vector<size_t> operand_offsets, size_t n_processors, size_t n_lanes);
  ~WorkspacePool();

  const WorkspaceSizes& sizes() const { return sizes_; }
  const std::vector<size_t>& operand_offsets() const { return operand_offsets_; }
  size_t most() const { return most_; }
  size_t n_made() const;

  // Borrowed; given back at the end.
  class Lease {
   public:
    Lease() = default;
    Lease(WorkspacePool* pool, std::unique_ptr<Workspace> workspace, size_t generation)
        : pool_(pool), workspace_(std::move(workspace)), generation_(generation) {}
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    explicit operator bool() const { return workspace_ != nullptr; }
    Workspace& operator*() const { return *workspace_; }
    Workspace* operator->() const { return workspace_.get(); }

   private:
    WorkspacePool* pool_ = nullptr;
    std::unique_ptr<Workspace> workspace_;
    size_t generation_ = 0;
  };

  // Waits for a free one where there are enough; an empty lease: there is no memory, or the call was interrupted. A
  // nested call, which a signal handler makes on the thread of a call that it interrupted, cannot wait for that one.
  Lease Borrow(Interrupt& interrupt, bool is_nested);
  // An empty lease if none is free at once.
  Lease BorrowAtOnce(bool beyond_most = false);

 private:
  struct Waiting;

  void GiveBack(std::unique_ptr<Workspace> workspace, size_t generation);
  void ForgetBeforeFork();

  const WorkspaceSizes sizes_;
  const std::vector<size_t> operand_offsets_;
  size_t most_;
  // Under ProcessLock.
  std::vector<std::unique_ptr<Workspace>> free_;
  size_t n_made_ = 0, generation_ = 0;
  std::shared_ptr<Waiting> waiting_;
};

}  // namespace bitvit
