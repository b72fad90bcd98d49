#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "base/float_environment.h"
#include "engine/memory_plan.h"

namespace bitvit {
namespace {

using Clock = std::chrono::steady_clock;

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
  std::vector<size_t> kept = inputs_;
  kept.insert(kept.end(), outputs_.begin(), outputs_.end());
  groups_ = FindRowGroups(values_, steps_, kept, n_threads_);
  // A value lives from the stage that writes it (inputs: the first) to the last that reads it (outputs: to the end).
  std::vector<Lifetime> lifetimes(values_.size());
  for (size_t i = 0; i < values_.size(); ++i) {
    lifetimes[i] = {groups_.local_offset[i] == kNotLocal ? values_[i].size_bytes() : 0, 0, 0};
  }
  for (size_t stage = 0; stage < groups_.stages.size(); ++stage) {
    for (size_t s = groups_.stages[stage].first; s < groups_.stages[stage].end; ++s) {
      for (const size_t i : steps_[s].inputs) lifetimes[i].last = stage;
      for (const size_t i : steps_[s].outputs) lifetimes[i].first = lifetimes[i].last = stage;
      shared_scratch_bytes_ = std::max(shared_scratch_bytes_, steps_[s].op->shared_scratch_bytes());
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
  MemoryPlan plan = PlanMemory(lifetimes);
  for (const size_t i : place) offsets_.push_back(plan.offsets[i]);
  arena_bytes_ = plan.size_bytes;
}

std::unique_ptr<Engine::Workspace> Engine::MakeWorkspace(size_t n_threads) const {
  auto workspace = std::make_unique<Workspace>();
  workspace->arena = AlignedBuffer(arena_bytes_);
  workspace->shared_scratch = AlignedBuffer(shared_scratch_bytes_);
  size_t thread_bytes = 0, n_tile_operands = 0;
  for (const Stage& stage : groups_.stages) {
    for (size_t s = stage.first; s < stage.end; ++s) {
      const Step& step = steps_[s];
      thread_bytes =
          std::max(thread_bytes, step.op->thread_scratch_bytes(stage.is_group() ? stage.n_parts() : n_threads));
      for (const size_t i : step.inputs) workspace->operands.push_back(workspace->arena.data() + offsets_[i]);
      for (const size_t i : step.outputs) workspace->operands.push_back(workspace->arena.data() + offsets_[i]);
    }
    if (stage.is_group()) n_tile_operands = std::max(n_tile_operands, CountOperands(stage));
  }
  for (size_t t = 0; t < n_threads; ++t) {
    workspace->tiles.emplace_back(groups_.tile_bytes);
    workspace->tile_operands.emplace_back(n_tile_operands);
    workspace->thread_scratch.emplace_back(thread_bytes);
    workspace->thread_scratch_data.push_back(workspace->thread_scratch.back().data());
  }
  return workspace;
}

size_t Engine::CountOperands(const Stage& stage) const {
  size_t n = 0;
  for (size_t s = stage.first; s < stage.end; ++s) n += steps_[s].inputs.size() + steps_[s].outputs.size();
  return n;
}

void Engine::RunTile(const Stage& stage, size_t tile, std::byte* const* operands, Workspace& workspace, size_t thread,
                     double* seconds) const {
  std::byte** const tile_operands = workspace.tile_operands[thread].data();
  std::byte* const buffer = workspace.tiles[thread].data();
  const RowRange range = {stage.tile_begins[tile], stage.tile_begins[tile + 1], stage.n_rows, stage.n_parts()};
  size_t n_operands = 0;
  const auto place = [&](size_t i) {
    std::byte* operand = operands[n_operands];
    if (groups_.local_offset[i] != kNotLocal) {  // where row 0 would be
      operand = buffer + groups_.local_offset[i] - range.begin * (values_[i].size_bytes() / stage.n_rows);
    }
    tile_operands[n_operands++] = operand;
  };
  for (size_t s = stage.first; s < stage.end; ++s) {
    for (const size_t i : steps_[s].inputs) place(i);
    for (const size_t i : steps_[s].outputs) place(i);
  }
  std::byte** operand = tile_operands;
  for (size_t s = stage.first; s < stage.end; ++s) {
    const Step& step = steps_[s];
    const size_t plan = stage.plan[s - stage.first];
    const Clock::time_point start = seconds == nullptr ? Clock::time_point() : Clock::now();
    size_t n_steps = 1;
    if (plan == kRunStep) {
      step.op->Run(RunContext(operand, operand + step.inputs.size(), &workspace.thread_scratch_data[thread], range));
    } else if (plan != kRunNothing) {
      RunChain(stage.chains[plan], kernels_.pointwise, tile_operands, range.begin, range.end);
      n_steps = stage.chains[plan].end - s;
    }
    if (seconds != nullptr) {  // the steps of a chain get equal shares
      const double share = std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(n_steps);
      for (size_t i = s; i < s + n_steps; ++i) seconds[i] += share;
    }
    operand += step.inputs.size() + step.outputs.size();
  }
}

void Engine::RunGroup(const Stage& stage, std::byte* const* operands, Workspace& workspace, ThreadPool* pool,
                      double* seconds) const {
  struct Job {
    const Engine* engine;
    const Stage* stage;
    std::byte* const* operands;
    Workspace* workspace;
    double* seconds;
    std::atomic<size_t> next;
  } job = {this, &stage, operands, &workspace, seconds, {0}};
  const auto run_tiles = [](void* context, size_t thread) {
    Job& j = *static_cast<Job*>(context);
    for (size_t tile = j.next++; tile < j.stage->n_tiles(); tile = j.next++) {
      j.engine->RunTile(*j.stage, tile, j.operands, *j.workspace, thread, thread == 0 ? j.seconds : nullptr);
    }
  };
  if (pool == nullptr) {
    run_tiles(&job, 0);
  } else {
    pool->Run(run_tiles, &job);
  }
}

void Engine::RunImage(Workspace& workspace, const std::vector<const std::byte*>& inputs,
                      const std::vector<std::byte*>& outputs, size_t image, ThreadPool* pool, double* seconds) const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Value& value = values_[inputs_[i]];
    value.Load(inputs[i] + image * value.stored_size_bytes(), workspace.arena.data() + offsets_[inputs_[i]]);
  }
  std::byte* const* operand = workspace.operands.data();
  for (const Stage& stage : groups_.stages) {
    if (stage.is_group()) {
      RunGroup(stage, operand, workspace, pool, seconds);
      operand += CountOperands(stage);
      continue;
    }
    const Step& step = steps_[stage.first];
    const Clock::time_point start = seconds == nullptr ? Clock::time_point() : Clock::now();
    step.op->Run(RunContext(operand, operand + step.inputs.size(), workspace.shared_scratch.data(),
                            workspace.thread_scratch_data.data(), pool));
    if (seconds != nullptr) seconds[stage.first] += std::chrono::duration<double>(Clock::now() - start).count();
    operand += step.inputs.size() + step.outputs.size();
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Value& value = values_[outputs_[i]];
    value.Store(workspace.arena.data() + offsets_[outputs_[i]], outputs[i] + image * value.stored_size_bytes());
  }
}

void Engine::Run(const std::vector<const std::byte*>& inputs, const std::vector<std::byte*>& outputs, size_t batch,
                 double* seconds) {
  const std::lock_guard<std::mutex> lock(run_mutex_);
  const FloatEnvironment ieee;
  std::shared_ptr<ThreadPool> pool;
  std::unique_lock<std::mutex> pool_lock;
  if (n_threads_ > 1) {
    pool = ThreadPool::Shared(n_threads_);
    pool_lock = std::unique_lock<std::mutex>(pool->mutex(), std::try_to_lock);
    if (!pool_lock.owns_lock()) pool.reset();  // another engine is using the threads: do without, with the same result
  }
  if (pool == nullptr || batch < n_threads_ || seconds != nullptr) {
    if (shared_workspace_ == nullptr) shared_workspace_ = MakeWorkspace(n_threads_);
    // Without a pool one thread does the work of all, in one part, for which it needs more scratch.
    Workspace* workspace = shared_workspace_.get();
    if (pool == nullptr && n_threads_ > 1) {
      if (image_workspaces_.empty()) image_workspaces_.push_back(MakeWorkspace(1));
      workspace = image_workspaces_[0].get();
    }
    for (size_t image = 0; image < batch; ++image) RunImage(*workspace, inputs, outputs, image, pool.get(), seconds);
    return;
  }
  while (image_workspaces_.size() < n_threads_) image_workspaces_.push_back(MakeWorkspace(1));
  struct Job {
    const Engine* engine;
    const std::vector<const std::byte*>* inputs;
    const std::vector<std::byte*>* outputs;
    size_t batch;
    std::vector<std::unique_ptr<Workspace>>* workspaces;
    std::atomic<size_t> next;
  } job = {this, &inputs, &outputs, batch, &image_workspaces_, {0}};
  pool->Run(
      [](void* context, size_t thread) {
        Job& j = *static_cast<Job*>(context);
        for (size_t image = j.next++; image < j.batch; image = j.next++) {
          j.engine->RunImage(*(*j.workspaces)[thread], *j.inputs, *j.outputs, image, nullptr, nullptr);
        }
      },
      &job);
}

}  // namespace bitvit
