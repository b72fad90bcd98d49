// The declaration of an operator: everything about it that is not its computation. It is the one place that names its
// inputs, outputs, attributes, parameters, limits, traits and cost; cpp/ops/check.cc checks a Program against it, and
// bitvit._core.operators() shows it to Python.
//
// An operator is a file of cpp/ops with
//
//   BITVIT_OPERATOR(affine) {
//     op.Input("x", "f32 [N,C]").Parameter("scale", "f32 [C]").Parameter("bias", "f32 [C]").Output("y", "f32 [N,C]");
//     op.RowWise().Tiled().InPlace().FloatOperations("elements");
//     op.MakeWith<Affine>();
//   }
//
// CMake collects these lines (ops/registry.cc): there is no list of operators to add to.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ops/pattern.h"

namespace bitvit {

class Operator;
class Operands;

enum class Presence { kRequired, kOptional, kRepeated };

// `type`: element types and axes, such as "sign|mask [N,K]"; several forms are separated by " | ". An axis is an
// expression (ops/expression.h). A name that has no value yet gets that of the axis; all others must agree. "_" is any
// size, "..." at the end any further axes, the same wherever it appears. The element type `bits` of a parameter is sign
// bits packed along the last axis into bytes; `same` of an output is the type of the first input. " or heads" after
// "[N,C]": the output may be [N,H,D] with H D = C.
struct Operand {
  std::string_view name, type;
  Presence presence;
  std::vector<Pattern> patterns = {};  // its forms. Follows from the type, as does
  int row_axis = -1;                   // the place of N, which are the rows; -1 if there is none.
};

enum class AttributeKind {
  kInteger,         // in low..high
  kPositiveNumber,  // finite and greater than 0 in binary32
  kBoolean,
  kChoice,  // one of the strings
  kGrid,    // [h, w] with h w = N; gives `h` and `w` their values
  kList,    // of low..high entries, which the operator itself checks
};
const char* AttributeKindName(AttributeKind kind);

// low and high are expressions. An integer gives its name its value, a list its length.
struct AttributeDeclaration {
  std::string_view name;
  AttributeKind kind;
  std::string_view low = {}, high = {};
  std::vector<std::string_view> choices = {};
};

struct Limit {
  enum class Kind { kAtMost, kDivides, kEqual } kind;
  std::string_view a, b;  // expressions: a <= b, a divides b, a = b
  ErrorCode error;
};

struct OperatorDeclaration {
  explicit OperatorDeclaration(std::string_view name_of_operator) : name(name_of_operator) {}

  std::string_view name;
  std::vector<Operand> inputs, outputs, parameters;
  std::vector<AttributeDeclaration> attributes;
  std::vector<std::pair<std::string_view, std::string_view>> definitions;  // name, expression
  std::vector<Limit> limits;

  // Traits. `rows` are the places along the axis N of inputs, parameters and outputs.
  bool is_row_wise = false;          // row n of the output needs only row n of whatever has the axis N
  std::string_view not_row_wise[2];  // an attribute and a rule in it that lets rows depend on each other
  bool is_tiled = false;             // can be run for a range of the rows of its output alone
  size_t n_aligned = 0;              // how many inputs, from the first, it reads row by row. Follows from the types.
  bool is_in_place = false;          // may write its result over an input of the same type and shape
  bool repeats_channels = false;     // each output row is the input row several times
  bool gives_dense_plane = false;    // plane 0 of its ternary output has no zeros
  bool is_foldable = false;        // ends with y = acc * scale[o] + bias[o], into which a channel_affine can be folded
  bool is_channel_affine = false;  // y = x * scale[c] + bias[c] with these parameters; no name: 1
  std::string_view affine_parameters[2];

  // Operations on one image, as expressions. All three must be said: nothing is free by omission.
  std::string_view binary_multiply_adds, multiply_adds, float_operations;

  // Bytes of what an engine keeps besides the parameters, at most; an expression.
  std::string_view layout_bytes = "0";

  // Bytes that one thread needs while it runs besides the values, at most, on any instruction set; an expression.
  std::string_view scratch_bytes = "0";

  // What the declaration cannot say; may be null. The first runs before the parameters are checked, the second before
  // the outputs are.
  Status (*check_attributes)(Operands& operands) = nullptr;
  Status (*check)(Operands& operands) = nullptr;
  // Lays out the parameters for the kernels; everything has been checked.
  std::unique_ptr<Operator> (*make)(const Operands& operands) = nullptr;

  OperatorDeclaration& Input(std::string_view n, std::string_view type, Presence presence = Presence::kRequired) {
    inputs.push_back({n, type, presence});
    return *this;
  }
  OperatorDeclaration& Output(std::string_view n, std::string_view type) {
    outputs.push_back({n, type, Presence::kRequired});
    return *this;
  }
  // An optional parameter, like an optional input, gives its own name the value 1 where it is given, else 0.
  OperatorDeclaration& Parameter(std::string_view n, std::string_view type, Presence presence = Presence::kRequired) {
    parameters.push_back({n, type, presence});
    return *this;
  }
  OperatorDeclaration& Integer(std::string_view n, std::string_view low, std::string_view high) {
    attributes.push_back({n, AttributeKind::kInteger, low, high});
    return *this;
  }
  OperatorDeclaration& PositiveNumber(std::string_view n) {
    attributes.push_back({n, AttributeKind::kPositiveNumber});
    return *this;
  }
  OperatorDeclaration& Boolean(std::string_view n) {
    attributes.push_back({n, AttributeKind::kBoolean});
    return *this;
  }
  OperatorDeclaration& Choice(std::string_view n, std::vector<std::string_view> choices) {
    attributes.push_back({n, AttributeKind::kChoice, {}, {}, std::move(choices)});
    return *this;
  }
  OperatorDeclaration& Grid() {
    attributes.push_back({"grid", AttributeKind::kGrid});
    return *this;
  }
  OperatorDeclaration& List(std::string_view n, std::string_view low, std::string_view high) {
    attributes.push_back({n, AttributeKind::kList, low, high});
    return *this;
  }
  OperatorDeclaration& Let(std::string_view n, std::string_view expression) {
    definitions.emplace_back(n, expression);
    return *this;
  }

  OperatorDeclaration& AtMost(std::string_view a, std::string_view b, ErrorCode error = ErrorCode::kOperand) {
    limits.push_back({Limit::Kind::kAtMost, a, b, error});
    return *this;
  }
  OperatorDeclaration& Divides(std::string_view a, std::string_view b, ErrorCode error = ErrorCode::kOperand) {
    limits.push_back({Limit::Kind::kDivides, a, b, error});
    return *this;
  }
  OperatorDeclaration& Equal(std::string_view a, std::string_view b, ErrorCode error = ErrorCode::kOperand) {
    limits.push_back({Limit::Kind::kEqual, a, b, error});
    return *this;
  }

  OperatorDeclaration& RowWise() {
    is_row_wise = true;
    return *this;
  }
  OperatorDeclaration& RowWiseUnless(std::string_view attribute, std::string_view rule) {
    is_row_wise = true;
    not_row_wise[0] = attribute;
    not_row_wise[1] = rule;
    return *this;
  }
  OperatorDeclaration& Tiled() {
    is_tiled = true;
    return *this;
  }
  OperatorDeclaration& InPlace() {
    is_in_place = true;
    return *this;
  }
  OperatorDeclaration& RepeatsChannels() {
    repeats_channels = true;
    return *this;
  }
  OperatorDeclaration& GivesDensePlane() {
    gives_dense_plane = true;
    return *this;
  }
  OperatorDeclaration& Foldable() {
    is_foldable = true;
    return *this;
  }
  OperatorDeclaration& ChannelAffine(std::string_view scale, std::string_view bias) {
    is_channel_affine = true;
    affine_parameters[0] = scale;
    affine_parameters[1] = bias;
    return *this;
  }

  OperatorDeclaration& Costs(std::string_view binary, std::string_view integer, std::string_view floats) {
    binary_multiply_adds = binary;
    multiply_adds = integer;
    float_operations = floats;
    return *this;
  }
  OperatorDeclaration& LayoutBytes(std::string_view bytes) {
    layout_bytes = bytes;
    return *this;
  }
  OperatorDeclaration& ScratchBytes(std::string_view bytes) {
    scratch_bytes = bytes;
    return *this;
  }
  // By a class whose constructor takes the operands.
  template <typename T>
  void MakeWith() {
    make = [](const Operands& operands) -> std::unique_ptr<Operator> { return std::make_unique<T>(operands); };
  }
  // A floating-point operator that is not binary.
  OperatorDeclaration& FloatOperations(std::string_view floats) { return Costs("0", "0", floats); }
  // Moves values without computing.
  OperatorDeclaration& OnlyMoves() { return Costs("0", "0", "0"); }
};

#define BITVIT_OPERATOR(operator_name)                           \
  static void Describe_##operator_name(OperatorDeclaration& op); \
  OperatorDeclaration DeclareOperator_##operator_name() {        \
    OperatorDeclaration op(#operator_name);                      \
    Describe_##operator_name(op);                                \
    return op;                                                   \
  }                                                              \
  static void Describe_##operator_name(OperatorDeclaration& op)

}  // namespace bitvit
