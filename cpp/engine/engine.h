// A Program ready to run on this machine.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/isa.h"
#include "base/thread_pool.h"
#include "engine/row_groups.h"
#include "kernels/kernels.h"
#include "ops/operator.h"
#include "ops/value.h"

namespace bitvit {

// One operator in place: which values it reads and writes.
struct Step {
  std::string kind;
  std::unique_ptr<Operator> op;
  std::vector<size_t> inputs, outputs;
};

class Engine {
 public:
  // Everything was checked by ProgramBuilder.
  Engine(std::vector<Value> values, std::vector<Step> steps, std::vector<size_t> inputs, std::vector<size_t> outputs,
         size_t n_threads, Isa isa);

  size_t n_inputs() const { return inputs_.size(); }
  size_t n_outputs() const { return outputs_.size(); }
  const Value& input(size_t i) const { return values_[inputs_[i]]; }
  const Value& output(size_t i) const { return values_[outputs_[i]]; }
  const std::vector<Step>& steps() const { return steps_; }
  size_t n_threads() const { return n_threads_; }
  Isa isa() const { return isa_; }
  size_t arena_bytes() const { return arena_bytes_; }

  // Runs the Program on each image of a batch. inputs[i] and outputs[i]: the stored form of the values (ops/value.h),
  // one image behind the other. Calls from several threads run one after the other. `seconds`, if given, has one entry
  // a step, to which the time of the step is added; the images then run one by one.
  void Run(const std::vector<const std::byte*>& inputs, const std::vector<std::byte*>& outputs, size_t batch,
           double* seconds = nullptr);

 private:
  // Memory for one image at a time.
  struct Workspace {
    AlignedBuffer arena, shared_scratch;
    std::vector<AlignedBuffer> thread_scratch;
    std::vector<std::byte*> thread_scratch_data;
    std::vector<std::byte*> operands;  // inputs, then outputs, of each step in turn
    // Of each thread: local values of its tile, and the operands of the group's steps.
    std::vector<AlignedBuffer> tiles;
    std::vector<std::vector<std::byte*>> tile_operands;
  };

  std::unique_ptr<Workspace> MakeWorkspace(size_t n_threads) const;
  void RunImage(Workspace& workspace, const std::vector<const std::byte*>& inputs,
                const std::vector<std::byte*>& outputs, size_t image, ThreadPool* pool, double* seconds) const;
  void RunGroup(const Stage& stage, std::byte* const* operands, Workspace& workspace, ThreadPool* pool,
                double* seconds) const;
  // All steps of the group for the rows of one tile.
  void RunTile(const Stage& stage, size_t tile, std::byte* const* operands, Workspace& workspace, size_t thread,
               double* seconds) const;
  size_t CountOperands(const Stage& stage) const;

  std::vector<Value> values_;
  std::vector<Step> steps_;
  std::vector<size_t> inputs_, outputs_;
  size_t n_threads_;
  Isa isa_;
  const Kernels& kernels_;
  RowGroups groups_;
  std::vector<size_t> offsets_;
  size_t arena_bytes_ = 0, shared_scratch_bytes_ = 0;
  std::mutex run_mutex_;
  std::unique_ptr<Workspace> shared_workspace_;               // all threads work on one image
  std::vector<std::unique_ptr<Workspace>> image_workspaces_;  // each thread has its own image
};

}  // namespace bitvit
