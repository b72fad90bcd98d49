#include "engine/row_groups.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "base/aligned_buffer.h"
#include "engine/engine.h"
#include "engine/memory_plan.h"
#include "engine/planning_steps.h"
#include "ops/declaration.h"

namespace bitvit {
namespace {

constexpr size_t kTileBytes = 192 * 1024;  // that a tile may keep alive: a part of the second-level cache
constexpr size_t kMinRows = 16;
constexpr size_t kRunNothing = static_cast<size_t>(-2);  // because another step does
constexpr size_t kMaxTileRows = 64;
// Far more than a network's groups have; the time to lay a group out grows with the square of its steps.
constexpr size_t kMaxGroupSteps = 256;

size_t RowBytes(const Value& value) { return value.size_bytes() / value.shape[0]; }

// Tiles of about `rows` rows. Of several threads the caller takes them from the front and helpers from the back
// (base/thread_pool.h): tiles are smaller where they meet.
std::vector<size_t> CutIntoTiles(size_t n_rows, size_t rows, size_t n_threads) {
  const size_t n_grains = (n_rows + kTileGrain - 1) / kTileGrain, n_equal = (n_rows + rows - 1) / rows;
  std::vector<size_t> begins = {0}, ends = {n_rows};
  if (n_threads == 1) {
    for (size_t tile = 1; tile < n_equal; ++tile) begins.push_back(n_grains * tile / n_equal * kTileGrain);
  } else {
    const size_t most = (n_grains + n_equal - 1) / n_equal;
    size_t first = 0, end = n_grains;
    for (size_t turn = 0; first < end; ++turn) {
      const size_t take = std::min(most, PiecesToTake(end - first, n_threads));
      if (turn % n_threads == 0) {
        first += take;
        if (first < end) begins.push_back(first * kTileGrain);
      } else {
        end -= take;
        if (first < end) ends.push_back(end * kTileGrain);
      }
    }
  }
  begins.insert(begins.end(), ends.rbegin(), ends.rend());
  return begins;
}

class Finder {
 public:
  Finder(const std::vector<Value>& values, const std::vector<Step>& steps, const std::vector<size_t>& kept,
         size_t n_threads)
      : values_(values),
        steps_(steps),
        n_threads_(n_threads),
        stage_of_(values.size(), kNotLocal),
        used_outside_(values.size(), false),
        is_kept_(values.size(), false),
        uses_(values.size(), 0),
        writer_(values.size(), 0),
        last_reader_(values.size(), 0) {
    for (const size_t i : kept) {
      used_outside_[i] = is_kept_[i] = true;
      ++uses_[i];
    }
    for (size_t s = 0; s < steps.size(); ++s) {
      for (const size_t i : steps[s].inputs) {
        ++uses_[i];
        last_reader_[i] = s;
      }
      for (const size_t i : steps[s].outputs) writer_[i] = s;
    }
  }

  RowGroups Find() {
    std::vector<Stage>& stages = groups_.stages;
    for (size_t s = 0; s < steps_.size(); ++s) {
      const size_t n_rows = RowsOf(s);
      if (n_rows == 0 || stages.empty() || stages.back().n_rows != n_rows ||
          s - stages.back().first >= kMaxGroupSteps) {
        stages.push_back({s, s, n_rows});
      } else if (const size_t written = WhollyRead(s, stages.size() - 1); written != kNotLocal) {
        const size_t cut = BestCut(written + 1, s);
        stages.back().end = cut;
        stages.push_back({cut, s, n_rows});
        for (size_t moved = cut; moved < s; ++moved) stage_of_[steps_[moved].outputs[0]] = stages.size() - 1;
      }
      stages.back().end = s + 1;
      for (const size_t i : steps_[s].outputs) stage_of_[i] = stages.size() - 1;
    }
    for (size_t stage = 0; stage < stages.size(); ++stage) {
      for (size_t s = stages[stage].first; s < stages[stage].end; ++s) {
        for (const size_t i : steps_[s].inputs) used_outside_[i] = used_outside_[i] || stage_of_[i] != stage;
      }
    }
    groups_.local_offset.assign(values_.size(), kNotLocal);
    groups_.is_never_written.assign(values_.size(), false);
    for (Stage& stage : stages) {
      if (stage.end - stage.first == 1) stage.n_rows = 0;
      if (stage.is_group()) Lay(stage);
      for (size_t s = stage.first; s < stage.end; ++s) {
        for (const size_t i : steps_[s].inputs) PlaceOperand(i, stage);
        for (const size_t i : steps_[s].outputs) PlaceOperand(i, stage);
      }
    }
    FindOverwritten();
    return std::move(groups_);
  }

 private:
  // Rows of the step's output if it can be in a group, else 0.
  size_t RowsOf(size_t s) const {
    if (!steps_[s].declaration->is_tiled || steps_[s].op->shared_scratch_bytes() != 0) return 0;
    const size_t n_rows = values_[steps_[s].outputs[0]].shape[0];
    for (size_t i = 0; i < steps_[s].declaration->n_aligned; ++i) {
      if (values_[steps_[s].inputs[i]].shape[0] != n_rows) return 0;
    }
    return n_rows < kMinRows ? 0 : n_rows;
  }

  // The last step of that stage that writes a value of which step s needs more than the row it works on, or kNotLocal.
  size_t WhollyRead(size_t s, size_t stage) const {
    size_t last = kNotLocal;
    for (size_t i = steps_[s].declaration->n_aligned; i < steps_[s].inputs.size(); ++i) {
      const size_t value = steps_[s].inputs[i];
      if (stage_of_[value] == stage && (last == kNotLocal || writer_[value] > last)) last = writer_[value];
    }
    return last;
  }

  // Whether the step makes bits of what the step before has written: they weigh little, and without the step the value
  // would have to be read again.
  bool EndsChain(size_t s) const {
    PointwiseLink link, before;
    if (s == 0 || !steps_[s].op->IsPointwise(&link) || !steps_[s - 1].op->IsPointwise(&before)) return false;
    const bool makes_bits = link.kind == PointwiseKind::kSign || link.kind == PointwiseKind::kMask;
    return makes_bits && steps_[s].inputs[0] == steps_[s - 1].outputs[0];
  }

  // The step from first to last before which to cut a group, such that least has to go through the arena.
  size_t BestCut(size_t first, size_t last) const {
    // What a step writes crosses every cut after it, up to its last reader: changes of the crossing from cut to cut.
    std::vector<int64_t> changes(last - first + 2, 0);
    planning_steps += last - groups_.stages.back().first + changes.size();
    for (size_t s = groups_.stages.back().first; s < last; ++s) {
      const size_t out = steps_[s].outputs[0], begin = std::max(s + 1, first), end = std::min(last_reader_[out], last);
      if (begin > end) continue;
      changes[begin - first] += static_cast<int64_t>(RowBytes(values_[out]));
      changes[end + 1 - first] -= static_cast<int64_t>(RowBytes(values_[out]));
    }
    size_t best = last;
    int64_t crossing = 0, least = std::numeric_limits<int64_t>::max();
    for (size_t cut = first; cut <= last; ++cut) {
      crossing += changes[cut - first];
      if (EndsChain(cut)) continue;
      if (crossing <= least) {  // of equal ones the last
        least = crossing;
        best = cut;
      }
    }
    return best;
  }

  // A sum that is read for the last time where its successor is made, element by element: both have one place.
  void FindOverwritten() {
    groups_.overwrites.assign(values_.size(), kNotLocal);
    for (size_t stage = 0; stage < groups_.stages.size(); ++stage) {
      if (!groups_.stages[stage].is_group()) continue;
      for (size_t s = groups_.stages[stage].first; s < groups_.stages[stage].end; ++s) {
        const size_t out = steps_[s].outputs[0];
        if (!steps_[s].declaration->is_in_place || groups_.local_offset[out] != kNotLocal) continue;
        for (const size_t value : steps_[s].inputs) {
          if (CanOverwrite(value, out, s, stage)) {
            groups_.overwrites[out] = value;
            break;
          }
        }
      }
    }
  }

  bool CanOverwrite(size_t value, size_t out, size_t s, size_t stage) const {
    const bool is_free = stage_of_[value] != kNotLocal && stage_of_[value] < stage && !is_kept_[value];
    if (!is_free || values_[value] != values_[out] || last_reader_[value] != s) return false;
    // Other steps of the group may read it too, but only the row they work on.
    for (size_t reader = groups_.stages[stage].first; reader < s; ++reader) {
      const std::vector<size_t>& inputs = steps_[reader].inputs;
      planning_steps += inputs.size();
      for (size_t i = 0; i < inputs.size(); ++i) {
        if (inputs[i] != value) continue;
        const OperatorDeclaration& declaration = *steps_[reader].declaration;
        if (i >= declaration.n_aligned || declaration.repeats_channels) return false;
      }
    }
    return true;
  }

  void PlaceOperand(size_t value, Stage& stage) const {
    const size_t offset = groups_.local_offset[value];
    if (offset != kNotLocal) stage.local_operands.push_back({stage.n_operands, offset, RowBytes(values_[value])});
    ++stage.n_operands;
  }

  // Finds the group's chains and fusions, cuts it into tiles and places its local values.
  void Lay(Stage& stage) {
    const size_t n_steps = stage.end - stage.first;
    stage.fusions = FindFusions(values_, steps_, stage.first, stage.end, uses_);
    std::vector<bool> is_taken(n_steps, false);
    for (const Fusion& fusion : stage.fusions) {
      is_taken[fusion.step - stage.first] = true;
      for (const size_t s : fusion.taken) is_taken[s - stage.first] = true;
      for (const size_t value : fusion.unwritten) groups_.is_never_written[value] = true;
    }
    Chains found = FindChains(values_, steps_, stage.first, stage.end, uses_, is_taken);
    std::vector<size_t> step_plan(n_steps, kRunStep);
    // All steps of a chain are one moment, and what it reads in place of a step that is left out must still be there.
    std::vector<size_t> moments(n_steps), last_reads(n_steps);
    for (size_t i = 0; i < n_steps; ++i) moments[i] = last_reads[i] = i;
    for (size_t c = 0; c < found.chains.size(); ++c) {
      const Chain& chain = found.chains[c];
      for (size_t s = chain.first; s < chain.end; ++s) {
        step_plan[s - stage.first] = s == chain.first ? c : kRunNothing;
        moments[s - stage.first] = last_reads[s - stage.first] = chain.first - stage.first;
      }
    }
    for (size_t i = 0; i < found.left_out.size(); ++i) {
      step_plan[found.left_out[i] - stage.first] = kRunNothing;
      last_reads[found.left_out[i] - stage.first] = found.chains[found.left_out_for[i]].first - stage.first;
    }
    for (size_t i = 0; i < stage.fusions.size(); ++i) {
      const Fusion& fusion = stage.fusions[i];
      step_plan[fusion.step - stage.first] = found.chains.size() + i;
      for (const size_t s : fusion.taken) {
        step_plan[s - stage.first] = kRunNothing;
        moments[s - stage.first] = last_reads[s - stage.first] = fusion.step - stage.first;
      }
    }
    stage.chains = std::move(found.chains);
    std::vector<size_t> ids;
    std::vector<Lifetime> lifetimes;
    for (size_t s = stage.first; s < stage.end; ++s) {
      for (const size_t i : steps_[s].inputs) {
        planning_steps += ids.size();
        const auto local = std::find(ids.begin(), ids.end(), i);
        if (local == ids.end()) continue;
        size_t& last = lifetimes[static_cast<size_t>(local - ids.begin())].last;
        last = std::max(last, last_reads[s - stage.first]);
      }
      const size_t out = steps_[s].outputs[0];
      if (used_outside_[out]) continue;
      if (groups_.is_never_written[out]) {
        groups_.local_offset[out] = 0;
        continue;
      }
      ids.push_back(out);
      lifetimes.push_back({RowBytes(values_[out]), moments[s - stage.first], moments[s - stage.first]});
    }
    size_t bytes_of_row = 1;
    for (size_t moment = 0; moment < n_steps; ++moment) {
      size_t alive = 0;
      planning_steps += lifetimes.size();
      for (const Lifetime& l : lifetimes) alive += l.first <= moment && moment <= l.last ? l.size_bytes : 0;
      bytes_of_row = std::max(bytes_of_row, alive);
    }
    const size_t rows = std::clamp(kTileBytes / bytes_of_row, kTileGrain, kMaxTileRows);
    stage.tile_begins = CutIntoTiles(stage.n_rows, rows, n_threads_);
    for (size_t tile = 0; tile < stage.n_tiles(); ++tile) {
      stage.max_tile_rows = std::max(stage.max_tile_rows, stage.tile_begins[tile + 1] - stage.tile_begins[tile]);
    }
    for (Lifetime& l : lifetimes) l.size_bytes *= stage.max_tile_rows;
    const MemoryPlan plan = PlanMemory(lifetimes);
    for (size_t i = 0; i < ids.size(); ++i) groups_.local_offset[ids[i]] = plan.offsets[i];
    groups_.tile_bytes = std::max(groups_.tile_bytes, plan.size_bytes);
    size_t first_operand = 0;
    for (size_t s = stage.first; s < stage.end; ++s) {
      if (step_plan[s - stage.first] != kRunNothing)
        stage.work.push_back({s, first_operand, step_plan[s - stage.first]});
      first_operand += steps_[s].inputs.size() + steps_[s].outputs.size();
    }
  }

  const std::vector<Value>& values_;
  const std::vector<Step>& steps_;
  const size_t n_threads_;
  std::vector<size_t> stage_of_;  // that writes the value; kNotLocal: none so far
  std::vector<bool> used_outside_, is_kept_;
  std::vector<size_t> uses_;  // steps that read the value; one more if it is kept
  std::vector<size_t> writer_, last_reader_;
  RowGroups groups_;
};

}  // namespace

RowGroups FindRowGroups(const std::vector<Value>& values, const std::vector<Step>& steps,
                        const std::vector<size_t>& kept, size_t n_threads) {
  return Finder(values, steps, kept, n_threads).Find();
}

}  // namespace bitvit
