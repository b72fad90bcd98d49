// A network from a .bitvit file, ready to answer: what every language but Python builds its face on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "image/fit.h"
#include "image/pixels.h"
#include "program/model.h"

namespace bitvit {

struct Ranked {
  size_t index;
  double probability;
};

// The classes of the highest logits, best first, among equals the lower index first: at most n of them, with their
// softmax.
std::vector<Ranked> Rank(const float* logits, size_t n_classes, size_t n);

// Of class i where a file names no colours: the palette of Pascal VOC, as in bitvit.runtime.label_maps.
std::array<uint8_t, 3> DefaultColor(size_t i);

// Nothing of it changes, so any number of threads may use it at once.
class Predictor {
 public:
  // `data` are the bytes of a file, which are needed only during the call. n_threads 0: one for each processor. isa "":
  // that of BITVIT_ISA in the environment, or the fastest.
  static Result<std::unique_ptr<const Predictor>> Read(const std::byte* data, size_t size, size_t n_threads,
                                                       const std::string& isa);

  Task task() const { return task_; }
  const Preprocessing& preprocessing() const { return preprocessing_; }
  const std::vector<std::string>& labels() const { return labels_; }
  std::array<uint8_t, 3> color(size_t i) const { return colors_.empty() ? DefaultColor(i) : colors_[i]; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const Engine& engine() const { return *engine_; }
  size_t n_input_bytes() const { return preprocessing_.height * preprocessing_.width * preprocessing_.channels; }
  // Of a segmentation: the grid of cells that get a class.
  size_t grid_height() const { return preprocessing_.height / cell_side_; }
  size_t grid_width() const { return preprocessing_.width / cell_side_; }

  // `prepared`: u8 [batch, height, width, channels], as FitImage makes it.
  // Logits f32 [batch, classes]. Errors: Operand for a segmentation; OutputValue: one of them is not finite.
  Status RunLogits(const uint8_t* prepared, size_t batch, float* logits) const;
  // Class numbers i32 [batch, grid height, grid width]. Errors: Operand for a classification; OutputValue.
  Status RunCells(const uint8_t* prepared, size_t batch, int32_t* cells) const;

  // The same for one photo.
  Status PhotoLogits(const Pixels& photo, float* logits) const;
  // The class of each pixel of the photo, u8 [photo.height, photo.width]: the cell that its centre falls into.
  Status LabelMap(const Pixels& photo, uint8_t* label_map) const;

 private:
  Predictor() = default;
  Status Run(const uint8_t* prepared, size_t batch, std::byte* output) const;
  Result<std::vector<uint8_t>> Prepare(const Pixels& photo) const;

  Task task_ = Task::kClassification;
  Preprocessing preprocessing_;
  std::vector<std::string> labels_;
  std::vector<std::array<uint8_t, 3>> colors_;
  std::map<std::string, std::string> metadata_;
  std::unique_ptr<Engine> engine_;
  size_t cell_side_ = 1;
};

}  // namespace bitvit
