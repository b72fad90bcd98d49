#include "ops/check.h"

#include <cstring>

#include "base/text.h"

namespace bitvit {
namespace {

// "K = 40000", or "32767" alone.
std::string WithValue(std::string_view expression, int64_t value) {
  const std::string number = std::to_string(value);
  return expression == number ? number : std::string(expression) + " = " + number;
}

}  // namespace

const char* AttributeKindName(AttributeKind kind) {
  switch (kind) {
    case AttributeKind::kInteger:
      return "integer";
    case AttributeKind::kPositiveNumber:
      return "positive number";
    case AttributeKind::kBoolean:
      return "boolean";
    case AttributeKind::kChoice:
      return "choice";
    case AttributeKind::kGrid:
      return "grid";
    case AttributeKind::kList:
      return "list";
  }
  return "?";
}

class OperatorChecker {
 public:
  OperatorChecker(const OperatorDeclaration& declaration, const OperatorSpec& spec, Operands& operands)
      : declaration_(declaration), spec_(spec), operands_(operands), sizes_(operands.sizes_) {}

  Status Check() {
    BITVIT_TRY(CheckInputs());
    BITVIT_TRY(CheckAttributes());
    if (declaration_.check_attributes != nullptr) BITVIT_TRY(declaration_.check_attributes(operands_));
    BITVIT_TRY(CheckLimits(false));
    BITVIT_TRY(CheckParameters());
    BITVIT_TRY(CheckLimits(false));
    for (const auto& [name, expression] : declaration_.definitions) {
      if (const auto value = Evaluate(expression, sizes_.symbols)) sizes_.symbols.Bind(name, *value);
    }
    if (declaration_.check != nullptr) BITVIT_TRY(declaration_.check(operands_));
    BITVIT_TRY(CheckOutputs());
    return CheckLimits(true);
  }

 private:
  Status CheckInputs() {
    const std::vector<Operand>& declared = declaration_.inputs;
    const size_t n = spec_.inputs.size();
    size_t low = 0, high = declared.size();
    for (const Operand& input : declared) {
      low += input.presence == Presence::kOptional ? 0 : 1;
      if (input.presence == Presence::kRepeated) high = kMaxDimension;
    }
    if (n < low || n > high) {
      return Fail(ErrorCode::kOperand, std::to_string(n) + " inputs, expected " + std::to_string(low) +
                                           (low == high ? "" : " to " + std::to_string(high)));
    }
    for (size_t i = 0; i < n; ++i) {
      const Operand& input = declared[i < declared.size() ? i : declared.size() - 1];
      BITVIT_TRY(CheckOperand("input " + std::to_string(i) + " is ", input, spec_.inputs[i]));
    }
    for (size_t i = 0; i < declared.size(); ++i) {
      if (declared[i].presence == Presence::kOptional) sizes_.symbols.Bind(declared[i].name, i < n ? 1 : 0);
    }
    uint64_t n_elements = 1;
    const Value* const first = n != 0 ? &spec_.inputs[0] : spec_.outputs.empty() ? nullptr : &spec_.outputs[0];
    if (first != nullptr) n_elements = first->n_elements();
    sizes_.symbols.Bind("elements", static_cast<int64_t>(n_elements));
    return {};
  }

  Status CheckOperand(const std::string& what, const Operand& declared, const Value& value) {
    for (const Pattern& pattern : declared.patterns) {
      const bool fits = pattern.HasType(TypeName(value.type)) ||
                        (pattern.HasType("same") && !spec_.inputs.empty() && value.type == spec_.inputs[0].type);
      if (fits && sizes_.Match(pattern, value.shape)) return {};
    }
    std::string expected;
    for (const Pattern& pattern : declared.patterns) {
      expected += (expected.empty() ? "" : " or ") + sizes_.Describe(pattern);
    }
    return Fail(ErrorCode::kOperand, what + value.ToString() + ", expected " + expected);
  }

  Status CheckOutputs() {
    if (spec_.outputs.size() != declaration_.outputs.size()) {
      return Fail(ErrorCode::kOperand, std::to_string(spec_.outputs.size()) + " outputs, expected " +
                                           std::to_string(declaration_.outputs.size()));
    }
    for (size_t i = 0; i < spec_.outputs.size(); ++i) {
      BITVIT_TRY(
          CheckOperand("output " + std::to_string(i) + " is declared ", declaration_.outputs[i], spec_.outputs[i]));
    }
    return {};
  }

  Status CheckAttributes() {
    for (const AttributeDeclaration& declared : declaration_.attributes) {
      const auto found = spec_.attributes.find(std::string(declared.name));
      if (found == spec_.attributes.end()) {
        return Fail(ErrorCode::kOperatorAttribute, "attribute " + Quoted(declared.name) + " is missing");
      }
      BITVIT_TRY(CheckAttribute(declared, found->second));
    }
    for (const auto& [name, attribute] : spec_.attributes) {
      bool is_known = false;
      for (const AttributeDeclaration& declared : declaration_.attributes) is_known = is_known || declared.name == name;
      if (!is_known) return Fail(ErrorCode::kOperatorAttribute, "unknown attribute " + Quoted(name));
    }
    return {};
  }

  Status CheckAttribute(const AttributeDeclaration& declared, const Attribute& attribute) {
    const std::string what = "attribute " + Quoted(declared.name);
    const int64_t low = Evaluate(declared.low, sizes_.symbols).value_or(0);
    const int64_t high = Evaluate(declared.high, sizes_.symbols).value_or(0);
    const std::string range = std::to_string(low) + " to " + std::to_string(high);
    switch (declared.kind) {
      case AttributeKind::kInteger: {
        const auto* value = std::get_if<long long>(&attribute.value);
        if (value == nullptr || *value < low || *value > high) {
          return Fail(ErrorCode::kOperatorAttribute, what + " must be an integer from " + range);
        }
        sizes_.symbols.Bind(declared.name, *value);
        return {};
      }
      case AttributeKind::kPositiveNumber: {
        BITVIT_ASSIGN(const float value, operands_.ToFloat(attribute, what));
        if (!(value > 0)) return Fail(ErrorCode::kOperatorAttribute, what + " must be positive in binary32");
        return {};
      }
      case AttributeKind::kBoolean:
        if (std::holds_alternative<bool>(attribute.value)) return {};
        return Fail(ErrorCode::kOperatorAttribute, what + " must be true or false");
      case AttributeKind::kChoice: {
        const auto* value = std::get_if<std::string>(&attribute.value);
        std::string expected;
        for (const std::string_view choice : declared.choices) {
          if (value != nullptr && *value == choice) return {};
          expected += (expected.empty() ? "" : " or ") + Quoted(choice);
        }
        return Fail(ErrorCode::kOperatorAttribute, what + " must be " + expected);
      }
      case AttributeKind::kGrid:
        return CheckGrid(attribute);
      case AttributeKind::kList: {
        const auto* list = std::get_if<AttributeList>(&attribute.value);
        const auto n = static_cast<int64_t>(list == nullptr ? 0 : list->size());
        if (list == nullptr || n < low || n > high) {
          return Fail(ErrorCode::kOperatorAttribute, what + " must be a list of " + range + " entries");
        }
        sizes_.symbols.Bind(declared.name, n);
        return {};
      }
    }
    return {};
  }

  Status CheckGrid(const Attribute& attribute) {
    const auto* list = std::get_if<AttributeList>(&attribute.value);
    int64_t sizes[2] = {0, 0};
    for (size_t i = 0; list != nullptr && list->size() == 2 && i < 2; ++i) {
      const auto* size = std::get_if<long long>(&(*list)[i].value);
      if (size != nullptr && *size > 0 && *size <= static_cast<long long>(kMaxDimension)) sizes[i] = *size;
    }
    const int64_t n_rows = *sizes_.symbols.Find("N");
    if (sizes[0] * sizes[1] != n_rows) {
      return Fail(ErrorCode::kOperatorAttribute,
                  "attribute 'grid' must be two numbers whose product is " + std::to_string(n_rows));
    }
    sizes_.symbols.Bind("h", sizes[0]);
    sizes_.symbols.Bind("w", sizes[1]);
    return {};
  }

  Status CheckParameters() {
    for (const Operand& declared : declaration_.parameters) {
      const auto found = spec_.tensors.find(std::string(declared.name));
      const bool is_given = found != spec_.tensors.end();
      if (declared.presence == Presence::kOptional) sizes_.symbols.Bind(declared.name, is_given ? 1 : 0);
      if (is_given) {
        BITVIT_TRY(CheckParameter(declared, found->second));
      } else if (declared.presence != Presence::kOptional) {
        return Fail(ErrorCode::kOperatorParameter, "parameter " + Quoted(declared.name) + " is missing");
      }
    }
    for (const auto& [name, tensor] : spec_.tensors) {
      bool is_known = false;
      for (const Operand& declared : declaration_.parameters) is_known = is_known || declared.name == name;
      if (!is_known) return Fail(ErrorCode::kOperatorParameter, "unknown parameter " + Quoted(name));
    }
    return {};
  }

  Status CheckParameter(const Operand& declared, const Tensor& tensor) {
    const std::string what = "parameter " + Quoted(declared.name);
    for (const size_t size : tensor.shape) {
      if (size == 0 || size > kMaxDimension) {
        return Fail(ErrorCode::kTensorShape, what + " has shape " + ToString(tensor.shape) + "; sizes go from 1 to " +
                                                 std::to_string(kMaxDimension));
      }
    }
    bool has_type = false;
    for (const Pattern& pattern : declared.patterns) {
      const bool is_bits = pattern.HasType("bits");
      if (is_bits ? tensor.type != DataType::kU8 : !pattern.HasType(DataTypeName(tensor.type))) continue;
      has_type = true;
      if (is_bits) return CheckBits(what, pattern, tensor);
      if (sizes_.Match(pattern, tensor.shape)) return CheckFinite(what, tensor);
    }
    std::string expected;
    for (const Pattern& pattern : declared.patterns)
      expected += (expected.empty() ? "" : " or ") + sizes_.Describe(pattern);
    return has_type
               ? Fail(ErrorCode::kTensorShape, what + " has shape " + ToString(tensor.shape) + ", expected " + expected)
               : Fail(ErrorCode::kTensorType, what + " is " + DataTypeName(tensor.type) + ", expected " + expected);
  }

  Status CheckFinite(const std::string& what, const Tensor& tensor) const {
    if (tensor.type != DataType::kF32) return {};
    // An exponent of ones carries into the sign; without a branch for each number, so that compilers use vectors.
    uint32_t carries = 0;
    for (size_t i = 0, n = tensor.n_elements(); i < n; ++i) {
      uint32_t bits;
      std::memcpy(&bits, tensor.as<float>() + i, sizeof(bits));
      carries |= (bits & 0x7f800000u) + 0x00800000u;
    }
    if (carries >> 31 == 0) return {};
    return Fail(ErrorCode::kNonFinite, what + " has values that are not finite");
  }

  // Bits along the last axis, packed into bytes with padding 0.
  Status CheckBits(const std::string& what, const Pattern& pattern, const Tensor& tensor) {
    Pattern packed = pattern;
    packed.axes.back() = "_";
    const auto length = Evaluate(pattern.axes.back(), sizes_.symbols);
    const size_t n_bits = static_cast<size_t>(length.value_or(0)), row_bytes = (n_bits + 7) / 8;
    if (!sizes_.Match(packed, tensor.shape) || tensor.shape.back() != row_bytes) {
      return Fail(ErrorCode::kTensorShape, what + " has shape " + ToString(tensor.shape) + ", expected " +
                                               sizes_.Describe(pattern) + ", packed into " + std::to_string(row_bytes) +
                                               " bytes per row");
    }
    if (n_bits % 8 == 0) return {};
    const size_t n_bytes = tensor.n_elements();
    for (size_t last = row_bytes - 1; last < n_bytes; last += row_bytes) {
      if (tensor.as<uint8_t>()[last] >> (n_bits % 8) != 0) {
        return Fail(ErrorCode::kTensorContent, what + " has 1 bits in the padding of its rows");
      }
    }
    return {};
  }

  // Those whose names all have values; with `is_last` all.
  Status CheckLimits(bool is_last) const {
    for (const Limit& limit : declaration_.limits) {
      const auto a = Evaluate(limit.a, sizes_.symbols), b = Evaluate(limit.b, sizes_.symbols);
      if (!is_last && (!a || !b)) continue;
      const int64_t left = a.value_or(0), right = b.value_or(0);
      const std::string texts[2] = {WithValue(limit.a, left), WithValue(limit.b, right)};
      if (limit.kind == Limit::Kind::kAtMost && left > right) {
        return Fail(limit.error, texts[0] + ", at most " + texts[1] + " is allowed");
      }
      if (limit.kind == Limit::Kind::kDivides && (left == 0 || right % left != 0)) {
        return Fail(limit.error, texts[1] + " cannot be divided by " + texts[0]);
      }
      if (limit.kind == Limit::Kind::kEqual && left != right) {
        return Fail(limit.error, texts[0] + ", expected " + texts[1]);
      }
    }
    return {};
  }

  Error Fail(ErrorCode code, const std::string& message) const { return operands_.Fail(code, message); }

  const OperatorDeclaration& declaration_;
  const OperatorSpec& spec_;
  Operands& operands_;
  Sizes& sizes_;
};

Status CheckAgainst(const OperatorDeclaration& declaration, const OperatorSpec& spec, Operands& operands) {
  return OperatorChecker(declaration, spec, operands).Check();
}

}  // namespace bitvit
