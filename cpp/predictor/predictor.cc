#include "predictor/predictor.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "base/processors.h"
#include "engine/program_builder.h"

namespace bitvit {
namespace {

constexpr size_t kMostThreads = 256;
constexpr size_t kMostLabelMapClasses = 256;  // a label map keeps one byte a pixel

Error NotFinite() {
  return {ErrorCode::kOutputValue, "the network's output is not finite: the file is damaged, or training diverged"};
}

std::string ChosenIsa(const std::string& isa) {
  if (!isa.empty()) return isa;
  const char* const chosen = std::getenv("BITVIT_ISA");
  return chosen == nullptr ? "" : chosen;
}

// The first of the greatest.
int32_t Best(const float* logits, size_t n_classes) {
  return static_cast<int32_t>(std::max_element(logits, logits + n_classes) - logits);
}

}  // namespace

std::vector<Ranked> Rank(const float* logits, size_t n_classes, size_t n) {
  std::vector<size_t> order(n_classes);
  std::iota(order.begin(), order.end(), size_t{0});
  n = std::min(n, n_classes);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(),
                    [&](size_t a, size_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  const double highest = *std::max_element(logits, logits + n_classes);
  double sum = 0;
  for (size_t i = 0; i < n_classes; ++i) sum += std::exp(static_cast<double>(logits[i]) - highest);
  std::vector<Ranked> ranked;
  for (size_t i = 0; i < n; ++i) {
    ranked.push_back({order[i], std::exp(static_cast<double>(logits[order[i]]) - highest) / sum});
  }
  return ranked;
}

std::array<uint8_t, 3> DefaultColor(size_t i) {
  std::array<uint8_t, 3> color = {};
  for (size_t bit = 0; bit < 8; ++bit) {
    for (size_t part = 0; part < 3; ++part) {
      color[part] = static_cast<uint8_t>(color[part] | (i >> (3 * bit + part) & 1) << (7 - bit));
    }
  }
  return color;
}

Result<std::unique_ptr<const Predictor>> Predictor::Read(const std::byte* data, size_t size, size_t n_threads,
                                                         const std::string& isa) {
  // Parameters are copied into the kernels' layout, so the file is not needed afterwards.
  BITVIT_ASSIGN(const std::shared_ptr<const Model> model, ReadModel(data, size, nullptr));
  std::unique_ptr<Predictor> predictor(new Predictor);
  predictor->task_ = model->task;
  predictor->preprocessing_ = model->preprocessing;
  predictor->labels_ = model->labels;
  if (model->colors.has_value()) predictor->colors_ = *model->colors;
  predictor->metadata_ = model->metadata;
  predictor->metadata_.erase("program");  // the largest, of which nothing is needed any more
  const size_t threads = std::min(n_threads == 0 ? UsableProcessors() : n_threads, kMostThreads);
  BITVIT_ASSIGN(predictor->engine_, BuildEngine(model->program, model->tensors, {model->program.output},
                                                static_cast<long long>(threads), ChosenIsa(isa)));
  if (model->task == Task::kSegmentation) {
    if (model->labels.size() > kMostLabelMapClasses) {
      return Error{ErrorCode::kLabels, std::to_string(model->labels.size()) +
                                           " classes, but a label map has one byte for each pixel: at most 256"};
    }
    // Whole cells divide the image evenly (CheckModel).
    const size_t n_cells = predictor->engine_->output(0).shape[0];
    const size_t n_pixels = model->preprocessing.height * model->preprocessing.width;
    while (predictor->cell_side_ * predictor->cell_side_ * n_cells < n_pixels) ++predictor->cell_side_;
  }
  return std::unique_ptr<const Predictor>(std::move(predictor));
}

Status Predictor::Run(const uint8_t* prepared, size_t batch, std::byte* output) const {
  Interrupt never;
  const RunOutcome outcome = engine_->Run({reinterpret_cast<const std::byte*>(prepared)}, {output}, batch, never);
  if (outcome == RunOutcome::kDone) return {};
  return {ErrorCode::kOutOfMemory, "there is not enough memory to run: one image needs " +
                                       std::to_string(engine_->workspace_bytes()) + " bytes beside its results"};
}

Status Predictor::RunLogits(const uint8_t* prepared, size_t batch, float* logits) const {
  if (task_ != Task::kClassification) {
    return {ErrorCode::kOperand, "a network for segmentation has no logits: ask for classes"};
  }
  BITVIT_TRY(Run(prepared, batch, reinterpret_cast<std::byte*>(logits)));
  const bool is_finite = std::all_of(logits, logits + batch * labels_.size(), [](float x) { return std::isfinite(x); });
  return is_finite ? Status() : NotFinite();
}

Status Predictor::RunCells(const uint8_t* prepared, size_t batch, int32_t* cells) const {
  if (task_ != Task::kSegmentation) {
    return {ErrorCode::kOperand, "a network for classification has no label maps: ask for logits"};
  }
  const size_t n_cells = batch * grid_height() * grid_width(), n_classes = labels_.size();
  if (engine_->output(0).type == ValueType::kI32) {
    BITVIT_TRY(Run(prepared, batch, reinterpret_cast<std::byte*>(cells)));
  } else {
    std::vector<float> logits(n_cells * n_classes);
    BITVIT_TRY(Run(prepared, batch, reinterpret_cast<std::byte*>(logits.data())));
    if (!std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) return NotFinite();
    for (size_t i = 0; i < n_cells; ++i) cells[i] = Best(logits.data() + i * n_classes, n_classes);
  }
  const bool are_classes = std::all_of(
      cells, cells + n_cells, [&](int32_t cell) { return cell >= 0 && static_cast<size_t>(cell) < n_classes; });
  if (are_classes) return {};
  return {ErrorCode::kOutputValue, "the network's output names a class that the file does not have"};
}

Result<std::vector<uint8_t>> Predictor::Prepare(const Pixels& photo) const {
  std::vector<uint8_t> prepared(n_input_bytes());
  BITVIT_TRY(FitImage(photo, preprocessing_, prepared.data()));
  return prepared;
}

Status Predictor::PhotoLogits(const Pixels& photo, float* logits) const {
  BITVIT_ASSIGN(const std::vector<uint8_t> prepared, Prepare(photo));
  return RunLogits(prepared.data(), 1, logits);
}

Status Predictor::LabelMap(const Pixels& photo, uint8_t* label_map) const {
  BITVIT_ASSIGN(const std::vector<uint8_t> prepared, Prepare(photo));
  std::vector<int32_t> cells(grid_height() * grid_width());
  BITVIT_TRY(RunCells(prepared.data(), 1, cells.data()));
  const auto nearest = [](size_t i, size_t n_in, size_t n_out) {
    return static_cast<size_t>((2 * uint64_t{i} + 1) * n_in / (2 * uint64_t{n_out}));
  };
  for (size_t y = 0; y < photo.height; ++y) {
    const int32_t* const row = cells.data() + nearest(y, grid_height(), photo.height) * grid_width();
    for (size_t x = 0; x < photo.width; ++x) {
      *label_map++ = static_cast<uint8_t>(row[nearest(x, grid_width(), photo.width)]);
    }
  }
  return {};
}

}  // namespace bitvit
