// What an operator's `check` and `make` work with: its checked sizes, attributes and parameters.
#pragma once

#include <string>
#include <string_view>

#include "base/aligned_buffer.h"
#include "ops/declaration.h"
#include "ops/layouts.h"
#include "ops/pattern.h"
#include "ops/spec.h"

namespace bitvit {

// Rows of sign bits, and how long they are.
class SignRows {
 public:
  SignRows(const uint64_t* words, size_t n_words, AlignedBuffer copy)
      : words_(words), n_words_(n_words), copy_(std::move(copy)) {}

  const uint64_t* words() const { return words_; }
  const uint64_t* row(size_t i) const { return words_ + i * n_words_; }
  // How many bits of rows first..end-1 are 1.
  int32_t CountOnes(size_t first, size_t end) const;

 private:
  const uint64_t* words_;
  size_t n_words_;
  AlignedBuffer copy_;
};

// Everything that is asked for here has been checked against the declaration: sizes, attributes and parameters exist.
class Operands {
 public:
  explicit Operands(const OperatorSpec& spec) : spec_(spec) {}

  const Kernels& kernels() const { return *spec_.kernels; }
  const Value& input(size_t i) const { return spec_.inputs[i]; }
  const Value& output(size_t i) const { return spec_.outputs[i]; }
  size_t n_inputs() const { return spec_.inputs.size(); }
  size_t n_outputs() const { return spec_.outputs.size(); }
  bool is_dense_plane(size_t input) const { return spec_.is_dense_plane[input]; }

  // The value of a name or an expression.
  size_t Size(std::string_view expression) const { return static_cast<size_t>(Count(expression)); }
  uint64_t Count(std::string_view expression) const;  // also beyond what a 32-bit size_t can hold
  // Of a cost: what is missing or names something unknown is beyond every limit, so that nothing is free by mistake.
  uint64_t Cost(std::string_view expression) const;
  void Bind(std::string_view name, size_t value) { sizes_.symbols.Bind(name, static_cast<int64_t>(value)); }

  float Number(const char* attribute) const;
  bool Flag(const char* attribute) const { return std::get<bool>(spec_.attributes.at(attribute).value); }
  const std::string& Text(const char* attribute) const {
    return std::get<std::string>(spec_.attributes.at(attribute).value);
  }
  const AttributeList& List(const char* attribute) const {
    return std::get<AttributeList>(spec_.attributes.at(attribute).value);
  }

  bool Has(const char* parameter) const { return spec_.tensors.count(parameter) != 0; }
  const Tensor& Parameter(const char* name) const { return spec_.tensors.at(name); }
  // Copied to aligned memory, with `slack` zero elements after it. Operators with the same tensor share it.
  AlignedBuffer Floats(const char* parameter, size_t slack = 16) const;
  // What `make` gives, an AlignedBuffer. `number` tells several layouts of one parameter apart.
  template <typename Make>
  AlignedBuffer Layout(const char* parameter, const Make& make, size_t number = 0) const {
    if (spec_.layouts == nullptr) return make();
    return spec_.layouts->Get(LayoutKey(spec_, parameter) + "#" + std::to_string(number), make);
  }
  // That many bytes, which operators share.
  AlignedBuffer Zeros(size_t n_bytes) const;
  // Sign bits as rows of BitWords(length) words with padding bits 0: those of the tensor where they lie like that,
  // else a copy that is good until the next call.
  SignRows Signs(const char* parameter, size_t length) const;

  // An error with the place of the operator in front.
  Error Fail(ErrorCode code, const std::string& message) const;
  // A number in an attribute, finite in binary32.
  Result<float> ToFloat(const Attribute& attribute, const std::string& what) const;

 private:
  friend class OperatorChecker;

  const OperatorSpec& spec_;
  Sizes sizes_;
};

}  // namespace bitvit
