// What of a workspace a step may touch, for builds with red zones (base/red_zones.h).
#include "base/red_zones.h"

#include <algorithm>

#include "engine/engine.h"

namespace bitvit {

void Engine::PermitInputs(const std::byte* arena) const {
  Forbid(arena, arena_bytes_);
  for (const size_t i : inputs_) Permit(arena + offsets_[i], values_[i].size_bytes());
}

void Engine::PermitOperands(const Stage& stage, const std::byte* arena, Workspace& workspace) const {
  Forbid(arena, arena_bytes_);
  Forbid(workspace.shared_scratch(), workspace.shared_scratch_bytes());
  const auto permit = [&](size_t i) {
    if (groups_.local_offset[i] == kNotLocal) Permit(arena + offsets_[i], values_[i].size_bytes());
  };
  for (size_t s = stage.first; s < stage.end; ++s) {
    std::for_each(steps_[s].inputs.begin(), steps_[s].inputs.end(), permit);
    std::for_each(steps_[s].outputs.begin(), steps_[s].outputs.end(), permit);
  }
  if (stage.is_group()) return;
  const Step& step = steps_[stage.first];
  Permit(workspace.shared_scratch(), step.op->shared_scratch_bytes());
  for (size_t lane = 0; lane < workspace.n_lanes(); ++lane) {
    PermitScratch(step, lane == 0 ? 1 : n_lanes_, workspace.lane(lane));
  }
}

void Engine::PermitTile(const Stage& stage, const Lane& lane) const {
  Forbid(lane.tile.data(), lane.tile.size_bytes());
  for (size_t s = stage.first; s < stage.end; ++s) {
    const size_t out = steps_[s].outputs[0];
    if (groups_.local_offset[out] == kNotLocal || groups_.is_never_written[out]) continue;
    Permit(lane.tile.data() + groups_.local_offset[out],
           values_[out].size_bytes() / stage.n_rows * stage.max_tile_rows);
  }
}

void Engine::PermitScratch(const Step& step, size_t n_parts, const Lane& lane) const {
  Forbid(lane.scratch.data(), lane.scratch.size_bytes());
  size_t n_bytes = step.op->thread_scratch_bytes(n_parts);
  // Without a group the caller has to do all rows at once, or shares them.
  if (n_parts == 1) n_bytes = std::max(n_bytes, step.op->thread_scratch_bytes(n_lanes_));
  Permit(lane.scratch.data(), n_bytes);
}

}  // namespace bitvit
