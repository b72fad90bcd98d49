#include "engine/row_groups.h"

#include <algorithm>
#include <map>

#include "base/aligned_buffer.h"
#include "engine/engine.h"
#include "engine/memory_plan.h"

namespace bitvit {
namespace {

constexpr size_t kTileBytes = 128 * 1024;  // that a tile may keep alive: a part of the second-level cache
constexpr size_t kMinRows = 16;
constexpr size_t kMaxTileRows = 64;
constexpr size_t kTilesPerThread = 4;

// How many inputs, from the first, an operator reads row by row: for output row r only row r. It may read all rows of
// the others.
constexpr size_t kAllInputs = static_cast<size_t>(-1);

// The operators that compute their output in one RunContext::Parallel over its rows, or over their elements.
const std::map<std::string, size_t>& RowOperators() {
  static const std::map<std::string, size_t> operators = {
      {"add", kAllInputs},
      {"add_constant", kAllInputs},
      {"affine", kAllInputs},
      {"gelu", kAllInputs},
      {"rprelu", kAllInputs},
      {"layer_norm", kAllInputs},
      {"sign", kAllInputs},
      {"mask", kAllInputs},
      {"layer_norm_sign", kAllInputs},
      {"binary_linear", kAllInputs},
      {"binary_linear_threshold", kAllInputs},
      {"repeat_channels", kAllInputs},
      {"mean_channels", kAllInputs},
      {"scale_by", 1},
      {"sign_statistics", 1},
      {"mask_statistics", 1},
      {"stencil", 0},
      {"pool", 0},
      {"upsample", 0},
      {"merge_patches", 0},
      {"binary_conv", 0},
      {"gather_rows", 0},
      {"windows_to_heads", 0},
      {"heads_to_windows", 0},
  };
  return operators;
}

size_t RowBytes(const Value& value) { return value.size_bytes() / value.shape[0]; }

class Finder {
 public:
  Finder(const std::vector<Value>& values, const std::vector<Step>& steps, const std::vector<size_t>& kept,
         size_t n_threads)
      : values_(values),
        steps_(steps),
        n_threads_(n_threads),
        stage_of_(values.size(), kNotLocal),
        used_outside_(values.size(), false) {
    for (const size_t i : kept) used_outside_[i] = true;
  }

  RowGroups Find() {
    std::vector<Stage>& stages = groups_.stages;
    for (size_t s = 0; s < steps_.size(); ++s) {
      const size_t n_rows = RowsOf(s);
      if (n_rows == 0 || stages.empty() || stages.back().n_rows != n_rows || ReadsWholly(s, stages.size() - 1)) {
        stages.push_back({s, s, n_rows, 1});
      }
      stages.back().end = s + 1;
      for (const size_t i : steps_[s].outputs) stage_of_[i] = stages.size() - 1;
      for (const size_t i : steps_[s].inputs) used_outside_[i] = used_outside_[i] || stage_of_[i] != stages.size() - 1;
    }
    groups_.local_offset.assign(values_.size(), kNotLocal);
    for (Stage& stage : stages) {
      if (stage.end - stage.first == 1) stage.n_rows = 0;
      if (stage.is_group()) Lay(stage);
    }
    return std::move(groups_);
  }

 private:
  // Rows of the step's output if it can be in a group, else 0.
  size_t RowsOf(size_t s) const {
    const auto found = RowOperators().find(steps_[s].kind);
    if (found == RowOperators().end() || steps_[s].op->shared_scratch_bytes() != 0) return 0;
    const size_t n_rows = values_[steps_[s].outputs[0]].shape[0];
    const size_t n_aligned = std::min(found->second, steps_[s].inputs.size());
    for (size_t i = 0; i < n_aligned; ++i) {
      if (values_[steps_[s].inputs[i]].shape[0] != n_rows) return 0;
    }
    return n_rows < kMinRows ? 0 : n_rows;
  }

  // Whether it needs more of a value of that stage than the row it works on.
  bool ReadsWholly(size_t s, size_t stage) const {
    for (size_t i = RowOperators().at(steps_[s].kind); i < steps_[s].inputs.size(); ++i) {
      if (stage_of_[steps_[s].inputs[i]] == stage) return true;
    }
    return false;
  }

  // Cuts the group into tiles and places its local values.
  void Lay(Stage& stage) {
    std::vector<size_t> ids;
    std::vector<Lifetime> lifetimes;
    for (size_t s = stage.first; s < stage.end; ++s) {
      for (const size_t i : steps_[s].inputs) {
        const auto local = std::find(ids.begin(), ids.end(), i);
        if (local != ids.end()) lifetimes[static_cast<size_t>(local - ids.begin())].last = s;
      }
      const size_t out = steps_[s].outputs[0];
      if (used_outside_[out]) continue;
      ids.push_back(out);
      lifetimes.push_back({RowBytes(values_[out]), s, s});
    }
    size_t bytes_of_row = 1;
    for (size_t s = stage.first; s < stage.end; ++s) {
      size_t alive = 0;
      for (const Lifetime& l : lifetimes) alive += l.first <= s && s <= l.last ? l.size_bytes : 0;
      bytes_of_row = std::max(bytes_of_row, alive);
    }
    const size_t rows = std::clamp(kTileBytes / bytes_of_row, kTileGrain, kMaxTileRows);
    const size_t n_grains = (stage.n_rows + kTileGrain - 1) / kTileGrain;
    stage.n_tiles = std::max(n_threads_ == 1 ? 1 : n_threads_ * kTilesPerThread, (stage.n_rows + rows - 1) / rows);
    stage.n_tiles = std::min(stage.n_tiles, n_grains);
    for (Lifetime& l : lifetimes) l.size_bytes *= stage.max_tile_rows();
    const MemoryPlan plan = PlanMemory(lifetimes);
    for (size_t i = 0; i < ids.size(); ++i) groups_.local_offset[ids[i]] = plan.offsets[i];
    groups_.tile_bytes = std::max(groups_.tile_bytes, plan.size_bytes);
  }

  const std::vector<Value>& values_;
  const std::vector<Step>& steps_;
  const size_t n_threads_;
  std::vector<size_t> stage_of_;  // that writes the value; kNotLocal: none so far
  std::vector<bool> used_outside_;
  RowGroups groups_;
};

}  // namespace

size_t Stage::tile_begin(size_t tile) const {
  const size_t n_grains = (n_rows + kTileGrain - 1) / kTileGrain;
  return std::min(n_grains * tile / n_tiles * kTileGrain, n_rows);
}

size_t Stage::max_tile_rows() const {
  const size_t n_grains = (n_rows + kTileGrain - 1) / kTileGrain;
  return (n_grains + n_tiles - 1) / n_tiles * kTileGrain;
}

RowGroups FindRowGroups(const std::vector<Value>& values, const std::vector<Step>& steps,
                        const std::vector<size_t>& kept, size_t n_threads) {
  return Finder(values, steps, kept, n_threads).Find();
}

}  // namespace bitvit
