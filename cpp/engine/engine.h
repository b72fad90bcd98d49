// A Program ready to run on this machine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/isa.h"
#include "base/thread_pool.h"
#include "engine/interrupt.h"
#include "engine/row_groups.h"
#include "engine/sharing.h"
#include "engine/workspace.h"
#include "kernels/kernels.h"
#include "ops/declaration.h"
#include "ops/operator.h"
#include "ops/value.h"

namespace bitvit {

// One operator in place: which values it reads and writes.
struct Step {
  const OperatorDeclaration* declaration;
  std::unique_ptr<Operator> op;
  std::vector<size_t> inputs, outputs;
  size_t number;  // in the Program
};

enum class RunOutcome { kDone, kInterrupted, kOutOfMemory };

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
  size_t planning_steps() const { return planning_steps_; }  // that building took (engine/planning_steps.h)
  // All memory of one call; how many calls may have such memory at a time, and how many have had it.
  size_t workspace_bytes() const { return workspaces_->sizes().WorkspaceBytes(n_lanes_); }
  size_t most_workspaces() const { return workspaces_->most(); }
  size_t n_workspaces() const { return workspaces_->n_made(); }

  // Runs the Program on each image of a batch. inputs[i] and outputs[i]: the stored form of the values (ops/value.h),
  // one image after the other. Any number of threads may call it at once: each call has a workspace of its own
  // (engine/workspace.h). Unless the outcome is kDone, the outputs are undefined.
  RunOutcome Run(const std::vector<const std::byte*>& inputs, const std::vector<std::byte*>& outputs, size_t batch,
                 Interrupt& interrupt) const;

  // The same, image by image; the time of each step is added to seconds[its number].
  RunOutcome Profile(const std::vector<const std::byte*>& inputs, const std::vector<std::byte*>& outputs, size_t batch,
                     Interrupt& interrupt, double* seconds) const;

 private:
  // One call of Run.
  struct Call {
    const std::vector<const std::byte*>& inputs;
    const std::vector<std::byte*>& outputs;
    Interrupt& interrupt;
    double* seconds;
  };

  WorkspaceSizes PlanWorkspace(std::vector<size_t>* operand_offsets);
  RunOutcome RunBatch(const Call& call, size_t batch, bool is_nested) const;
  // As many of the images as whole rounds of all lanes make, each on one thread; returns how many.
  size_t SpreadImages(const Call& call, Workspace& own, size_t batch, size_t n_lanes) const;
  // Red zones (base/red_zones.h; engine/red_zones.cc): from now on only these operands and scratch may be touched.
  void PermitInputs(const std::byte* arena) const;
  void PermitOperands(const Stage& stage, const std::byte* arena, Workspace& workspace) const;
  void PermitTile(const Stage& stage, const Lane& lane) const;
  void PermitScratch(const Step& step, size_t n_parts, const Lane& lane) const;
  // Each stage for all images first..end-1 before the next stage, so that its weights are read from far away once.
  // There are arenas for them. False: interrupted. A team that is given works on the images together. Only lane 0 asks
  // for interrupts.
  bool RunImages(const Call& call, Workspace& workspace, size_t first, size_t end, Team* team, bool may_ask) const;
  void RunStage(const Call& call, const Stage& stage, std::byte* const* operands, Workspace& workspace, Team* team,
                bool may_ask) const;
  void RunGroup(const Call& call, const Stage& stage, std::byte* const* operands, Workspace& workspace, Team* team,
                bool may_ask) const;
  // All steps of the group for the rows of one tile.
  void RunTile(const Stage& stage, size_t tile, std::byte* const* operands, Lane& lane, double* seconds) const;

  std::vector<Value> values_;
  std::vector<Step> steps_;
  std::vector<size_t> inputs_, outputs_;
  size_t n_threads_, n_lanes_;  // asked for; as many of them as there are processors
  Isa isa_;
  const Kernels& kernels_;
  RowGroups groups_;
  std::vector<size_t> offsets_;
  size_t arena_bytes_ = 0, planning_steps_ = 0;
  std::unique_ptr<WorkspacePool> workspaces_;
  mutable Sharing sharing_;
};

}  // namespace bitvit
