// Teams, workspaces and forks without Python around them, for the sanitizers (`make sanitize`). Prints "ok" and returns
// 0, or says what was wrong.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "base/process_lock.h"
#include "base/thread_pool.h"
#include "engine/interrupt.h"
#include "engine/workspace.h"

namespace bitvit {
namespace {

void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "threads_test: %s\n", what);
  std::_Exit(1);
}

// Not atomic on purpose: that each piece is done once, by one thread at a time, is what the sanitizer checks.
struct Sums {
  std::vector<size_t> cells;
  std::vector<std::vector<size_t>> of_lane;
};

void AddOne(void* context, size_t first, size_t end, size_t lane) noexcept {
  Sums& sums = *static_cast<Sums*>(context);
  for (size_t i = first; i < end; ++i) ++sums.cells[i];
  sums.of_lane[lane][0] += end - first;
}

void RunTasks(size_t n_lanes, size_t n_pieces, size_t n_tasks) {
  Sums sums = {std::vector<size_t>(n_pieces, 0), std::vector<std::vector<size_t>>(n_lanes, std::vector<size_t>(1, 0))};
  Team team(n_lanes, n_lanes);
  for (size_t i = 0; i < n_tasks; ++i) team.Run(n_pieces, 1 + i % 9, AddOne, &sums);
  size_t n_done = 0;
  for (const size_t cell : sums.cells) Require(cell == n_tasks, "a piece was not done once in each task");
  for (const auto& lane : sums.of_lane) n_done += lane[0];
  Require(n_done == n_pieces * n_tasks, "lanes shared their memory");
}

void CallersAtOnce() {
  std::vector<std::thread> callers;
  for (size_t c = 0; c < 5; ++c) {
    callers.emplace_back([c] {
      for (size_t i = 0; i < 60; ++i) RunTasks(1 + (c + i) % 5, 1 + (c * 37 + i * 11) % 300, 20);
    });
  }
  for (std::thread& caller : callers) caller.join();
}

void ShareWorkspaces() {
  WorkspaceSizes sizes;
  sizes.arena_bytes = 1000;
  sizes.shared_scratch_bytes = sizes.caller_scratch_bytes = sizes.helper_scratch_bytes = sizes.tile_bytes = 100;
  WorkspacePool pool(sizes, {0, 64, 128}, 2, 1);
  Require(pool.most() == 4, "two workspaces for each processor");
  std::atomic<size_t> n_out{0};
  std::vector<std::thread> callers;
  for (size_t c = 0; c < 12; ++c) {
    callers.emplace_back([&] {
      for (size_t i = 0; i < 200; ++i) {
        Interrupt interrupt;
        const WorkspacePool::Lease lease = pool.Borrow(interrupt, false);
        Require(static_cast<bool>(lease), "there was a workspace to wait for");
        Require(++n_out <= pool.most(), "more calls than workspaces");
        for (size_t b = 0; b < sizes.arena_bytes; ++b) lease->arena(0)[b] = std::byte{1};
        Require(lease->MakeLanes(3, sizes) == 3, "lanes");
        --n_out;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  Require(pool.n_made() <= pool.most(), "no more were made than allowed");
}

[[maybe_unused]] void ForkWhileOthersRun() {
  std::atomic<bool> is_stopped{false};
  std::vector<std::thread> callers;
  for (size_t c = 0; c < 2; ++c) {
    callers.emplace_back([&] {
      while (!is_stopped) RunTasks(4, 100, 5);
    });
  }
  for (size_t i = 0; i < 10; ++i) {
    const pid_t child = fork();
    Require(child >= 0, "fork");
    if (child == 0) {
      RunTasks(4, 100, 50);
      ShareWorkspaces();
      std::_Exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    Require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child failed");
  }
  is_stopped = true;
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace bitvit

int main() {
  setenv("BITVIT_PROCESSORS", "6", 1);
  bitvit::PrepareHelpers(4);
  bitvit::CallersAtOnce();
  bitvit::ShareWorkspaces();
  // ThreadSanitizer gives up in a child of a fork that starts threads; AddressSanitizer's memory (that of GCC 12) stays
  // locked there for ever if another thread was just taking some.
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
  bitvit::ForkWhileOthersRun();
#endif
  std::puts("ok");
  return 0;
}
