// Consecutive operators that work row by row run together, a few rows (a tile) at a time: what passes between them
// stays in the cache, and threads meet once a group instead of once an operator. Each row goes through the same kernels
// as without groups, so results are the same to the bit.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/chains.h"
#include "engine/fusions.h"
#include "ops/value.h"

namespace bitvit {

struct Step;

// What RunTile does at a step that others do not do for it: runs it, or a chain, or a fusion.
struct TileStep {
  size_t step, first_operand;  // of the group's operands: inputs and outputs of all its steps in order
  size_t plan;                 // kRunStep, else the number of a chain; after them, a fusion's
};

// An operand that lies in the tile's buffer.
struct LocalOperand {
  size_t place;  // among the group's operands
  size_t offset, row_bytes;
};

// The steps first..end-1.
struct Stage {
  size_t first, end;
  size_t n_rows;  // 0: one step, run as a whole; else a group of steps that all write that many rows

  // The first row of each tile, a multiple of kTileGrain, then n_rows.
  std::vector<size_t> tile_begins = {};
  size_t max_tile_rows = 0;
  std::vector<Chain> chains = {};
  std::vector<Fusion> fusions = {};
  std::vector<TileStep> work = {};
  std::vector<LocalOperand> local_operands = {};
  size_t n_operands = 0;

  bool is_group() const { return n_rows != 0; }
  size_t n_tiles() const { return tile_begins.size() - 1; }
  // No tile is larger than 1 / n_parts() of the rows.
  size_t n_parts() const { return n_rows / max_tile_rows; }
};

inline constexpr size_t kTileGrain = 8;
inline constexpr size_t kRunStep = static_cast<size_t>(-1);
inline constexpr size_t kNotLocal = static_cast<size_t>(-1);

struct RowGroups {
  std::vector<Stage> stages;  // all steps in order
  // Values that only their own group uses have no place in the arena: each thread keeps the rows of its tile in a
  // buffer of tile_bytes, the value's from this offset. kNotLocal: all other values.
  std::vector<size_t> local_offset;
  // Values of a group that stay in registers. They count as local and have no place.
  std::vector<bool> is_never_written;
  // The value of an earlier stage in whose place each value may be written, row by row; kNotLocal: none.
  std::vector<size_t> overwrites;
  size_t tile_bytes = 0;
};

// `kept`: values that must be complete in the arena at the end.
RowGroups FindRowGroups(const std::vector<Value>& values, const std::vector<Step>& steps,
                        const std::vector<size_t>& kept, size_t n_threads);

}  // namespace bitvit
