// Threads that help callers with their work.
//
// A call opens a Team: the calling thread and those of the process's helpers that are idle. Work is a row of pieces,
// which the threads of the team claim a few at a time. A helper that has not been given a processor yet claims nothing,
// so nobody waits for it: the caller waits only for pieces that a helper has begun. The same holds for a helper that is
// still busy with what it believes to be an earlier team: it finds the team closed and goes.
//
// No more threads work than there are processors: callers come first, helpers take what is left. A caller that has
// waited for a helper that lost its processor in the middle of a piece does without helpers for eight times as long, so
// that however busy the machine is, at most an eighth of the time is lost.
//
// Helpers spin for a short while and then sleep. They are never joined and never destroyed. A child of a fork starts
// helpers of its own. With BITVIT_SINGLE_THREAD there are none, and no threading header is included.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitvit {

// How many of `left` pieces of work a thread takes at once: fewer towards the end, so that threads of unequal speed
// (a shared core, a small one) end together. At most 1 / n_threads of the whole.
inline size_t PiecesToTake(size_t left, size_t n_threads) { return left < 4 * n_threads ? 1 : left / (2 * n_threads); }

struct HelperCounts {
  size_t n_processors;  // as found when the last engine was built
  size_t n_helpers;     // threads that were started
  size_t n_refused;     // threads that the operating system did not give
  size_t n_callers;     // teams that are open
};

// Starts helpers, so that n_threads threads, no more than the processors of this process, can work together. Helpers
// that cannot be started are done without.
HelperCounts PrepareHelpers(size_t n_threads);

// Whether a team that is opened now can expect help.
bool HelpersAreFree();

struct HelperPool;
struct TeamState;

class Team {
 public:
  // The pieces first .. end - 1. Threads that work at the same time have different lanes; the caller's is 0. Nothing
  // may be thrown: the caller would leave what its helpers still work on.
  using Task = void (*)(void* context, size_t first, size_t end, size_t lane) noexcept;

  static constexpr size_t kMostPieces = 4096;

  // Of up to n_lanes threads. No piece of work is larger than 1 / n_parts of the whole.
  Team(size_t n_lanes, size_t n_parts);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  size_t n_parts() const { return n_parts_; }

  // Whether a helper takes part or is being called.
  bool HasHelp();

  // Runs the task for all of n_pieces <= kMostPieces; returns when all are done. It takes at most `most` at once.
  void Run(size_t n_pieces, size_t most, Task task, void* context);

 private:
  void Dismiss();

  const size_t n_lanes_, n_parts_;
#if !defined(BITVIT_SINGLE_THREAD)
  HelperPool* pool_;
  TeamState* state_ = nullptr;
  uint64_t epoch_ = 0;
  size_t generation_;
#endif
};

}  // namespace bitvit
