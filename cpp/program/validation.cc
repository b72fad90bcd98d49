#include "program/validation.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "ops/layouts.h"
#include "ops/registry.h"
#include "program/limits.h"
#include "program/model.h"

namespace bitvit {
namespace {

constexpr uint64_t kBinaryProductsPerOperation = 64;
constexpr uint64_t kLanes = 16;           // elements of a row that a kernel does at a time
constexpr uint64_t kOutputsAtATime = 64;  // for which weights are laid out together

std::string Place(const Program& program, size_t index) {
  return "operator " + std::to_string(index) + " (" + program.operators[index].kind + "): ";
}

uint64_t RoundUp(uint64_t n, uint64_t step) { return (n + step - 1) / step * step; }

// Of one value while it is needed, in any engine: bits in rows of 64-bit words.
uint64_t LiveBytes(const Value& value) {
  uint64_t n_rows = 1;
  for (size_t axis = 0; axis + 1 < value.shape.size(); ++axis) n_rows *= value.shape[axis];
  const uint64_t width = value.shape.back();
  if (value.is_bits()) return value.n_bit_arrays() * n_rows * RoundUp(width, 64) / 8;
  return n_rows * width * (value.type == ValueType::kU8 ? 1 : 4);
}

// Of one parameter as the kernels want it, at most: outputs (first axis) in blocks, rows (last axis) in 64-bit words.
uint64_t LaidOutBytes(const Tensor& tensor) {
  uint64_t bytes = RoundUp(tensor.shape.back() * DataTypeSize(tensor.type), 8);
  for (size_t axis = 0; axis + 1 < tensor.shape.size(); ++axis) {
    bytes *= axis == 0 ? RoundUp(tensor.shape[0], kOutputsAtATime) : tensor.shape[axis];
  }
  return bytes;
}

// In float operations: as long as 64 binary multiply-adds. A row that does not fill the lanes takes as long as one that
// does.
uint64_t Work(const OperatorSpec& spec, const OperatorCost& cost) {
  uint64_t work = std::min(cost.multiply_adds, kMaxWork + 1) + std::min(cost.float_operations, kMaxWork + 1);
  if (!spec.outputs.empty()) {
    const uint64_t width = spec.outputs[0].shape.back();
    work = work * RoundUp(width, kLanes) / width;
  }
  return work + cost.binary_multiply_adds / kBinaryProductsPerOperation;
}

// The number of the most probable class of each cell.
bool IsLabelMap(const Value& value) { return value.type == ValueType::kI32 && value.shape.size() == 1; }

Status CheckEnds(const Program& program) {
  const Value& image = program.values[program.input];
  const size_t n_channels = image.shape.size() == 3 ? image.shape[2] : 0;
  if (image.type != ValueType::kU8 || (n_channels != 1 && n_channels != 3 && n_channels != 4)) {
    return {ErrorCode::kOperand,
            "the Program's input is " + image.ToString() + ", expected u8 [H, W, C] with 1, 3 or 4 channels"};
  }
  if (std::max(image.shape[0], image.shape[1]) > kMaxImageSide) {
    return {ErrorCode::kSizeLimit, "images of " + std::to_string(image.shape[0]) + " x " +
                                       std::to_string(image.shape[1]) + " are beyond the limit " +
                                       std::to_string(kMaxImageSide)};
  }
  const Value& output = program.values[program.output];
  const bool is_logits = output.type == ValueType::kF32 && output.shape.size() == 2;
  if (!is_logits && !IsLabelMap(output)) {
    return {ErrorCode::kOperand,
            "the Program's output is " + output.ToString() +
                ", expected f32 [1, classes], or for segmentation f32 [cells, classes] or i32 [cells]"};
  }
  return {};
}

// The operators so far, as they are checked in order.
struct Progress {
  std::vector<bool> is_written;  // by value
  std::set<std::string> used_tensors;
  std::set<std::string> layouts;  // keys of parameters that are counted
  uint64_t work = 0, parameter_bytes = 0;
  std::vector<uint64_t> scratch_bytes;  // by operator
};

// Every value is written once, before it is read, and every tensor is there.
Status CheckNames(const Program& program, const TensorMap& tensors, size_t index, Progress& progress) {
  const ProgramOperator& op = program.operators[index];
  const std::string where = Place(program, index);
  for (const size_t i : op.inputs) {
    if (!progress.is_written[i]) {
      return {ErrorCode::kValueDefinition,
              where + "value " + Quoted(program.value_names[i]) + " is read before it is written"};
    }
  }
  for (const size_t i : op.outputs) {
    if (progress.is_written[i]) {
      return {ErrorCode::kValueDefinition,
              where + "value " + Quoted(program.value_names[i]) + " is written a second time"};
    }
    progress.is_written[i] = true;
  }
  for (const auto& [parameter, name] : op.tensors) {
    if (tensors.count(name) == 0) {
      return {ErrorCode::kMissingTensor,
              where + "tensor " + Quoted(name) + " (parameter " + Quoted(parameter) + ") is not in the file"};
    }
    progress.used_tensors.insert(name);
  }
  return {};
}

Status CheckOperatorInPlace(const Program& program, const TensorMap& tensors, size_t index, Progress& progress) {
  const ProgramOperator& op = program.operators[index];
  if (FindOperator(op.kind) == nullptr) {
    return {ErrorCode::kUnknownOperator,
            "operator " + std::to_string(index) + ": unknown kind " + Quoted(op.kind) + "; a newer bitvit may know it"};
  }
  BITVIT_TRY(CheckNames(program, tensors, index, progress));
  BITVIT_ASSIGN(const OperatorSpec spec, SpecOf(program, tensors, index));
  BITVIT_ASSIGN(const OperatorCost cost, CostOfOperator(spec));
  progress.parameter_bytes += std::min(cost.layout_bytes, kMaxParameterBytes + 1);
  for (const auto& [name, tensor] : spec.tensors) {
    if (progress.layouts.insert(LayoutKey(spec, name)).second) progress.parameter_bytes += LaidOutBytes(tensor);
  }
  if (progress.parameter_bytes > kMaxParameterBytes) {
    return {ErrorCode::kSizeLimit, Place(program, index) + "the parameters of all operators take more than " +
                                       std::to_string(kMaxParameterBytes) + " bytes (docs/format.md, Limits)"};
  }
  progress.scratch_bytes.push_back(std::min(cost.scratch_bytes, kMaxLiveBytes + 1));
  progress.work += Work(spec, cost);
  if (progress.work > kMaxWork) {
    return {ErrorCode::kSizeLimit, Place(program, index) + "the work on one image is more than " +
                                       std::to_string(kMaxWork) + " operations (docs/format.md, Limits)"};
  }
  return {};
}

// Returns the bytes of scratch of each operator.
Result<std::vector<uint64_t>> CheckOperators(const Program& program, const TensorMap& tensors) {
  Progress progress;
  progress.is_written.assign(program.values.size(), false);
  progress.is_written[program.input] = true;
  for (size_t index = 0; index < program.operators.size(); ++index) {
    BITVIT_TRY(CheckOperatorInPlace(program, tensors, index, progress));
  }
  for (size_t i = 0; i < program.values.size(); ++i) {
    if (!progress.is_written[i]) {
      return Error{ErrorCode::kValueDefinition,
                   "value " + Quoted(program.value_names[i]) + " is declared, but no operator writes it"};
    }
  }
  for (const auto& [name, tensor] : tensors) {
    if (progress.used_tensors.count(name) == 0) {
      return Error{ErrorCode::kUnusedTensor, "tensor " + Quoted(name) + " is not used by any operator"};
    }
  }
  return std::move(progress.scratch_bytes);
}

Status CheckTensors(const TensorMap& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (tensor.shape.empty() || tensor.shape.size() > kMaxRank ||
        std::any_of(tensor.shape.begin(), tensor.shape.end(), [](size_t n) { return n < 1 || n > kMaxDimension; })) {
      return {ErrorCode::kSizeLimit, "tensor " + Quoted(name) + " has shape " + ToString(tensor.shape) +
                                         ", expected 1 to " + std::to_string(kMaxRank) + " axes of 1 to " +
                                         std::to_string(kMaxDimension)};
    }
  }
  return {};
}

// Each value from the operator that writes it to the last that reads it, and the scratch of the operator that runs.
Status CheckLiveBytes(const Program& program, const std::vector<uint64_t>& scratch_bytes) {
  const size_t n = program.operators.size();
  std::vector<size_t> last(program.values.size(), 0);
  for (size_t index = 0; index < n; ++index) {
    for (const size_t i : program.operators[index].outputs) last[i] = index;
    for (const size_t i : program.operators[index].inputs) last[i] = index;
  }
  last[program.output] = n;
  uint64_t alive = LiveBytes(program.values[program.input]);
  const auto leave = [&](size_t i, size_t index) {
    if (last[i] == index) alive -= LiveBytes(program.values[i]);
  };
  for (size_t index = 0; index < n; ++index) {
    const ProgramOperator& op = program.operators[index];
    for (const size_t i : op.outputs) alive += LiveBytes(program.values[i]);
    if (alive + scratch_bytes[index] > kMaxLiveBytes) {
      return {ErrorCode::kSizeLimit, Place(program, index) + "needs " + std::to_string(alive + scratch_bytes[index]) +
                                         " bytes for values and scratch of one image, at most " +
                                         std::to_string(kMaxLiveBytes) + " are allowed"};
    }
    for (const size_t i : std::set<size_t>(op.inputs.begin(), op.inputs.end())) leave(i, index);
    for (const size_t i : op.outputs) leave(i, index);
  }
  return {};
}

// Segmentation: the output's rows are the cells of a grid [H / s, W / s] for one integer s.
bool IsGridOf(uint64_t n_cells, uint64_t height, uint64_t width) {
  for (uint64_t stride = 1; stride <= std::min(height, width); ++stride) {
    if (height % stride == 0 && width % stride == 0 && height / stride * (width / stride) == n_cells) return true;
  }
  return false;
}

// How many classes the Program tells apart.
size_t CountClasses(const Program& program) {
  const Value& output = program.values[program.output];
  if (!IsLabelMap(output)) return output.shape[1];
  for (const ProgramOperator& op : program.operators) {  // class numbers: of as many as the rows have channels
    const bool writes_output = std::find(op.outputs.begin(), op.outputs.end(), program.output) != op.outputs.end();
    if (writes_output && !op.inputs.empty()) return program.values[op.inputs[0]].shape.back();
  }
  return 0;
}

}  // namespace

Result<OperatorSpec> SpecOf(const Program& program, const TensorMap& tensors, size_t index) {
  const ProgramOperator& op = program.operators[index];
  OperatorSpec spec;
  spec.index = index;
  spec.kind = op.kind;
  for (const size_t i : op.inputs) spec.inputs.push_back(program.values[i]);
  for (const size_t i : op.outputs) spec.outputs.push_back(program.values[i]);
  spec.is_dense_plane.assign(op.inputs.size(), false);
  spec.attributes = op.attributes;
  for (const auto& [parameter, name] : op.tensors) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      return Error{ErrorCode::kMissingTensor, Place(program, index) + "tensor " + Quoted(name) + " is missing"};
    }
    spec.tensors.emplace(parameter, found->second);
  }
  return spec;
}

Result<OperatorMemory> MemoryOfOperator(const OperatorSpec& spec) {
  BITVIT_ASSIGN(const OperatorCost cost, CostOfOperator(spec));
  OperatorMemory memory = {cost.layout_bytes, cost.scratch_bytes};
  for (const auto& [name, tensor] : spec.tensors) memory.parameter_bytes += LaidOutBytes(tensor);
  return memory;
}

Status CheckProgram(const Program& program, const TensorMap& tensors) {
  BITVIT_TRY(CheckEnds(program));
  BITVIT_TRY(CheckTensors(tensors));
  BITVIT_ASSIGN(const std::vector<uint64_t> scratch_bytes, CheckOperators(program, tensors));
  return CheckLiveBytes(program, scratch_bytes);
}

Status CheckModel(const Model& model) {
  const Value& image = model.program.values[model.program.input];
  const Preprocessing& prepared = model.preprocessing;
  if (Shape{prepared.height, prepared.width, prepared.channels} != image.shape) {
    return {ErrorCode::kPreprocessing, "image_size and channels give " +
                                           ToString({prepared.height, prepared.width, prepared.channels}) +
                                           ", but the Program's input is " + image.ToString()};
  }
  const Value& output = model.program.values[model.program.output];
  if (model.task == Task::kClassification && (IsLabelMap(output) || output.shape[0] != 1)) {
    return {ErrorCode::kOperand, "the Program's output is " + output.ToString() + ", expected f32 [1, classes]"};
  }
  if (model.task == Task::kSegmentation && !IsGridOf(output.shape[0], prepared.height, prepared.width)) {
    return {ErrorCode::kOperand, "the Program's output is " + output.ToString() +
                                     ", whose rows are not the cells of a grid that divides the image evenly"};
  }
  const size_t n_classes = CountClasses(model.program);
  if (model.labels.size() != n_classes) {
    return {ErrorCode::kLabels,
            std::to_string(model.labels.size()) + " labels for " + std::to_string(n_classes) + " classes"};
  }
  if (model.colors.has_value()) {
    if (model.task != Task::kSegmentation) return {ErrorCode::kLabels, "only segmentation files have colors"};
    if (model.colors->size() != n_classes) {
      return {ErrorCode::kLabels,
              std::to_string(model.colors->size()) + " colors for " + std::to_string(n_classes) + " classes"};
    }
  }
  return {};
}

}  // namespace bitvit
