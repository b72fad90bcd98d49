#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "base/float_environment.h"
#include "base/process_lock.h"
#include "base/red_zones.h"
#include "engine/memory_plan.h"
#include "engine/planning_steps.h"
#include "engine/step_order.h"

namespace bitvit {
namespace {

using Clock = std::chrono::steady_clock;

// Images whose values fit into a part of the second-level cache are computed together.
constexpr size_t kBytesTogether = 256 * 1024, kMostTogether = 8;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Whether the calling thread is in Run already: a signal handler may run the engine once more.
thread_local size_t depth_of_runs = 0;

struct RunScope {
  RunScope() { ++depth_of_runs; }
  ~RunScope() { --depth_of_runs; }
};

}  // namespace

Engine::Engine(std::vector<Value> values, std::vector<Step> steps, std::vector<size_t> inputs,
               std::vector<size_t> outputs, size_t n_threads, Isa isa)
    : values_(std::move(values)),
      steps_(std::move(steps)),
      inputs_(std::move(inputs)),
      outputs_(std::move(outputs)),
      n_threads_(n_threads),
      isa_(isa),
      kernels_(KernelsFor(isa)) {
  const HelperCounts helpers = PrepareHelpers(n_threads);
  n_lanes_ = std::min(n_threads, helpers.n_helpers + 1);
  std::vector<size_t> operand_offsets;
  bitvit::planning_steps = 0;
  std::vector<size_t> kept = inputs_;
  kept.insert(kept.end(), outputs_.begin(), outputs_.end());
  OrderSteps(steps_, kept, values_.size());
  const WorkspaceSizes sizes = PlanWorkspace(&operand_offsets);
  planning_steps_ = bitvit::planning_steps;
  arena_bytes_ = sizes.arena_bytes;
  // A thread's own memory is worth less than the limit on all of it.
  while (n_lanes_ > 1 && sizes.WorkspaceBytes(n_lanes_) > WorkspacePool::kMostBytes) --n_lanes_;
  workspaces_ = std::make_unique<WorkspacePool>(sizes, std::move(operand_offsets), helpers.n_processors, n_lanes_);
}

WorkspaceSizes Engine::PlanWorkspace(std::vector<size_t>* operand_offsets) {
  WorkspaceSizes sizes;
  std::vector<size_t> kept = inputs_;
  kept.insert(kept.end(), outputs_.begin(), outputs_.end());
  groups_ = FindRowGroups(values_, steps_, kept, n_lanes_);
  // A value lives from the stage that writes it (inputs: the first) to the last that reads it (outputs: to the end).
  std::vector<Lifetime> lifetimes(values_.size());
  for (size_t i = 0; i < values_.size(); ++i) {
    lifetimes[i] = {groups_.local_offset[i] == kNotLocal ? values_[i].size_bytes() : 0, 0, 0};
  }
  for (size_t stage = 0; stage < groups_.stages.size(); ++stage) {
    for (size_t s = groups_.stages[stage].first; s < groups_.stages[stage].end; ++s) {
      for (const size_t i : steps_[s].inputs) lifetimes[i].last = stage;
      for (const size_t i : steps_[s].outputs) lifetimes[i].first = lifetimes[i].last = stage;
    }
  }
  for (const size_t i : inputs_) lifetimes[i].first = 0;
  for (const size_t i : outputs_) lifetimes[i].last = groups_.stages.size();
  // Values that share a place live as one, from the first on.
  std::vector<size_t> place(values_.size());
  for (size_t i = 0; i < values_.size(); ++i) place[i] = i;
  for (const Step& step : steps_) {
    for (const size_t i : step.outputs) {
      if (groups_.overwrites[i] == kNotLocal) continue;
      place[i] = place[groups_.overwrites[i]];
      lifetimes[place[i]].last = std::max(lifetimes[place[i]].last, lifetimes[i].last);
      lifetimes[i].size_bytes = 0;
    }
  }
  const MemoryPlan plan = PlanMemory(lifetimes);
  for (const size_t i : place) offsets_.push_back(plan.offsets[i]);
  sizes.arena_bytes = plan.size_bytes;
  sizes.n_images_together = std::clamp<size_t>(kBytesTogether / std::max<size_t>(1, plan.size_bytes), 1, kMostTogether);
  sizes.tile_bytes = groups_.tile_bytes;
  for (const Stage& stage : groups_.stages) {
    for (size_t s = stage.first; s < stage.end; ++s) {
      const Step& step = steps_[s];
      const size_t n_tiles = stage.is_group() ? stage.n_parts() : 1;
      sizes.shared_scratch_bytes = std::max(sizes.shared_scratch_bytes, step.op->shared_scratch_bytes());
      sizes.caller_scratch_bytes = std::max(sizes.caller_scratch_bytes, step.op->thread_scratch_bytes(n_tiles));
      sizes.helper_scratch_bytes =
          std::max(sizes.helper_scratch_bytes, step.op->thread_scratch_bytes(stage.is_group() ? n_tiles : n_lanes_));
      for (const size_t i : step.inputs) operand_offsets->push_back(offsets_[i]);
      for (const size_t i : step.outputs) operand_offsets->push_back(offsets_[i]);
    }
    if (stage.is_group()) sizes.n_tile_operands = std::max(sizes.n_tile_operands, stage.n_operands);
  }
  // More parts need less scratch, but nothing says so of an operator: the caller's is good for any.
  sizes.caller_scratch_bytes = std::max(sizes.caller_scratch_bytes, sizes.helper_scratch_bytes);
  return sizes;
}

void Engine::RunTile(const Stage& stage, size_t tile, std::byte* const* operands, Lane& lane, double* seconds) const {
  std::byte** const tile_operands = lane.tile_operands.data();
  std::byte* const scratch = lane.scratch.data();
  const RowRange range = {stage.tile_begins[tile], stage.tile_begins[tile + 1], stage.n_rows, stage.n_parts()};
  std::copy_n(operands, stage.n_operands, tile_operands);
  for (const LocalOperand& local : stage.local_operands) {  // where row 0 would be
    tile_operands[local.place] = lane.tile.data() + local.offset - range.begin * local.row_bytes;
  }
  if constexpr (kRedZones) PermitTile(stage, lane);
  for (const TileStep& work : stage.work) {
    const Step& step = steps_[work.step];
    const Clock::time_point start = seconds == nullptr ? Clock::time_point() : Clock::now();
    size_t n_steps = 1;
    if (work.plan == kRunStep) {
      if constexpr (kRedZones) PermitScratch(step, range.n_parts, lane);
      std::byte** const operand = tile_operands + work.first_operand;
      step.op->Run(RunContext(operand, operand + step.inputs.size(), &scratch, range));
    } else if (work.plan < stage.chains.size()) {
      const Chain& chain = stage.chains[work.plan];
      RunChain(chain, kernels_.pointwise, tile_operands, range.begin, range.end);
      n_steps = chain.end - chain.first;
    } else {
      const Fusion& fusion = stage.fusions[work.plan - stage.chains.size()];
      std::byte *inputs[2], *outputs[2];
      for (size_t i = 0; i < fusion.inputs.size(); ++i) inputs[i] = tile_operands[fusion.inputs[i]];
      for (size_t i = 0; i < fusion.outputs.size(); ++i) outputs[i] = tile_operands[fusion.outputs[i]];
      if constexpr (kRedZones) PermitScratch(step, range.n_parts, lane);
      step.op->Run(RunContext(inputs, outputs, &scratch, range));
    }
    if (seconds != nullptr) {  // the steps of a chain get equal shares
      const double share = SecondsSince(start) / static_cast<double>(n_steps);
      for (size_t i = work.step; i < work.step + n_steps; ++i) seconds[steps_[i].number] += share;
    }
  }
}

void Engine::RunGroup(const Call& call, const Stage& stage, std::byte* const* operands, Workspace& workspace,
                      Team* team, bool may_ask) const {
  if (team == nullptr) {
    for (size_t tile = 0; tile < stage.n_tiles(); ++tile) {
      if (may_ask && call.interrupt.IsRequested()) return;
      RunTile(stage, tile, operands, workspace.lane(0), call.seconds);
    }
    return;
  }
  struct Job {
    const Engine& engine;
    const Stage& stage;
    std::byte* const* operands;
    Workspace& workspace;
    double* seconds;
  } job = {*this, stage, operands, workspace, call.seconds};
  team->Run(
      stage.n_tiles(), 1,
      [](void* context, size_t first, size_t end, size_t lane) noexcept {
        const Job& j = *static_cast<const Job*>(context);
        for (size_t tile = first; tile < end; ++tile) {
          j.engine.RunTile(j.stage, tile, j.operands, j.workspace.lane(lane), lane == 0 ? j.seconds : nullptr);
        }
      },
      &job);
}

void Engine::RunStage(const Call& call, const Stage& stage, std::byte* const* operands, Workspace& workspace,
                      Team* team, bool may_ask) const {
  if (stage.is_group()) return RunGroup(call, stage, operands, workspace, team, may_ask);
  const Step& step = steps_[stage.first];
  const Clock::time_point start = call.seconds == nullptr ? Clock::time_point() : Clock::now();
  step.op->Run(RunContext(operands, operands + step.inputs.size(), workspace.shared_scratch(),
                          workspace.thread_scratch(), team));
  if (call.seconds != nullptr) call.seconds[step.number] += SecondsSince(start);
}

bool Engine::RunImages(const Call& call, Workspace& workspace, size_t first, size_t end, Team* team,
                       bool may_ask) const {
  const size_t n_images = end - first;
  for (size_t image = 0; image < n_images; ++image) {
    std::byte* const arena = workspace.arena(image);
    if constexpr (kRedZones) PermitInputs(arena);
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const Value& value = values_[inputs_[i]];
      value.Load(call.inputs[i] + (first + image) * value.stored_size_bytes(), arena + offsets_[inputs_[i]]);
    }
  }
  size_t n_operands = 0;
  for (const Stage& stage : groups_.stages) {
    for (size_t image = 0; image < n_images; ++image) {
      if (may_ask && call.interrupt.IsRequested()) return false;
      if constexpr (kRedZones) PermitOperands(stage, workspace.arena(image), workspace);
      RunStage(call, stage, workspace.operands(image) + n_operands, workspace, team, may_ask);
    }
    n_operands += stage.n_operands;
  }
  if (may_ask && call.interrupt.IsRequested()) return false;
  for (size_t image = 0; image < n_images; ++image) {
    std::byte* const arena = workspace.arena(image);
    if constexpr (kRedZones) Permit(arena, arena_bytes_);
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const Value& value = values_[outputs_[i]];
      value.Store(arena + offsets_[outputs_[i]], call.outputs[i] + (first + image) * value.stored_size_bytes());
    }
  }
  return true;
}

size_t Engine::SpreadImages(const Call& call, Workspace& own, size_t batch, size_t n_lanes) const {
  if (!HelpersAreFree()) return 0;
  std::vector<WorkspacePool::Lease> leases;  // of the helpers
  while (leases.size() + 1 < std::min(n_lanes, batch)) {
    WorkspacePool::Lease lease = workspaces_->BorrowAtOnce();
    if (!lease) break;
    leases.push_back(std::move(lease));
  }
  n_lanes = leases.size() + 1;
  const size_t n_images = batch / n_lanes * n_lanes;
  if (n_lanes == 1) return 0;
  struct Job {
    const Engine& engine;
    const Call& call;
    Workspace& own;
    std::vector<WorkspacePool::Lease>& leases;
    size_t first;
    std::atomic<bool> is_stopped{false};
  } job = {*this, call, own, leases, 0};
  Team team(n_lanes, n_lanes);
  for (; job.first < n_images; job.first += Team::kMostPieces) {
    team.Run(
        std::min(n_images - job.first, Team::kMostPieces), 1,
        [](void* context, size_t first, size_t end, size_t lane) noexcept {
          Job& j = *static_cast<Job*>(context);
          Workspace& workspace = lane == 0 ? j.own : *j.leases[lane - 1];
          const WorkspacePool& pool = *j.engine.workspaces_;
          const size_t together = workspace.MakeArenas(std::min(end - first, pool.sizes().n_images_together),
                                                       pool.sizes(), pool.operand_offsets());
          for (size_t i = first; i < end && !j.is_stopped.load(std::memory_order_relaxed); i += together) {
            const size_t last = std::min(end, i + together);
            if (!j.engine.RunImages(j.call, workspace, j.first + i, j.first + last, nullptr, lane == 0)) {
              j.is_stopped = true;
            }
          }
        },
        &job);
  }
  return n_images;
}

RunOutcome Engine::RunBatch(const Call& call, size_t batch, bool is_nested) const {
  const WorkspacePool::Lease workspace = workspaces_->Borrow(call.interrupt, is_nested);
  if (!workspace) return call.interrupt.IsRequested() ? RunOutcome::kInterrupted : RunOutcome::kOutOfMemory;
  const bool is_profile = call.seconds != nullptr;
  size_t image = 0;
  if (n_lanes_ > 1 && batch > 1 && !is_profile) {
    image = SpreadImages(call, *workspace, batch, n_lanes_);
    if (call.interrupt.AskIfDue()) return RunOutcome::kInterrupted;
  }
  if (image == batch) return RunOutcome::kDone;
  Team team(workspace->MakeLanes(n_lanes_, workspaces_->sizes()), n_lanes_);
  // Threads that work on one image together have its parts to share; alone, a thread takes several images.
  const size_t most = n_lanes_ > 1 || is_profile ? 1 : std::min(batch, workspaces_->sizes().n_images_together);
  const size_t together = workspace->MakeArenas(most, workspaces_->sizes(), workspaces_->operand_offsets());
  for (; image < batch; image += together) {
    const bool may_share = n_lanes_ > 1 && (is_profile || sharing_.Choose());
    const bool is_shared = may_share && team.HasHelp();
    const Clock::time_point start = Clock::now();
    const size_t end = std::min(batch, image + together);
    if (!RunImages(call, *workspace, image, end, is_shared ? &team : nullptr, true)) return RunOutcome::kInterrupted;
    // Where no helper was free, one thread's time says what sharing comes to.
    if (n_lanes_ > 1) sharing_.Record(may_share, std::chrono::nanoseconds(Clock::now() - start).count());
  }
  return RunOutcome::kDone;
}

RunOutcome Engine::Run(const std::vector<const std::byte*>& inputs, const std::vector<std::byte*>& outputs,
                       size_t batch, Interrupt& interrupt) const {
  return Profile(inputs, outputs, batch, interrupt, nullptr);
}

RunOutcome Engine::Profile(const std::vector<const std::byte*>& inputs, const std::vector<std::byte*>& outputs,
                           size_t batch, Interrupt& interrupt, double* seconds) const {
  const bool is_nested = depth_of_runs != 0;
  const RunScope scope;
  const FloatEnvironment ieee;
  const Call call = {inputs, outputs, interrupt, seconds};
  while (true) {
    const size_t generation = ForkGeneration();
    const RunOutcome outcome = RunBatch(call, batch, is_nested);
    // A signal handler may fork: what helpers had begun is lost to the child, which begins anew.
    if (outcome != RunOutcome::kDone || generation == ForkGeneration()) return outcome;
  }
}

}  // namespace bitvit
